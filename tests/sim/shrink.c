#include "shrink.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "run.h"
#include "util/mem.h"

enum {
	TRIES_MAX = 400,
	SECONDS_MAX = 180,
	OTHER_SEEDS =
	        3, /* what is left out changes the dice: another seed may fail like this one */
	SHORTEST_MS = 10 * 60 * 1000,
};

struct shrinking {
	struct history best;
	struct history_result failure; /* of it */
	int n_tries;
};

/* Past what is not a word: numbers, and names that are numbered (a1, d0). */
static const char *skip_numbers(const char *text)
{
	while (isdigit((unsigned char)*text))
		text++;
	return text;
}

bool shrink_is_same_failure(const char *a, const char *b)
{
	while (*a || *b) {
		a = skip_numbers(a);
		b = skip_numbers(b);
		/* Where it was comes last, in brackets. */
		if (strncmp(a, " (life ", 7) == 0 && strncmp(b, " (life ", 7) == 0)
			return true;
		if (*a != *b)
			return false;
		if (*a) {
			a++;
			b++;
		}
	}
	return true;
}

static bool is_over(const struct shrinking *shrinking)
{
	return shrinking->n_tries >= TRIES_MAX;
}

/* It fails like that: then it is the best so far. */
static bool try_one(struct shrinking *shrinking, const struct history *history)
{
	struct history_result result;

	if (is_over(shrinking))
		return false;
	shrinking->n_tries++;
	history_run(history, &result);
	if (result.is_good || !shrink_is_same_failure(result.failure, shrinking->failure.failure))
		return false;
	shrinking->best = *history;
	shrinking->failure = result;
	return true;
}

/* Also with the dice of another seed. */
static bool try_history(struct shrinking *shrinking, const struct history *history)
{
	struct history other = *history;

	if (try_one(shrinking, history))
		return true;
	for (other.seed = 1; other.seed <= OTHER_SEEDS; other.seed++) {
		if (other.seed != history->seed && try_one(shrinking, &other))
			return true;
	}
	return false;
}

/* Many at once first: of most failures nearly all of them are bystanders. */
static bool drop_kinds(struct shrinking *shrinking)
{
	bool has_dropped = false;

	for (int n = 8; n >= 1; n /= 2) {
		for (int first = 0; first < KINDS; first += n) {
			struct history history = shrinking->best;

			history.scenario.kinds &= ~((((kind_set)1 << n) - 1) << first);
			if (history.scenario.kinds != shrinking->best.scenario.kinds)
				has_dropped |= try_history(shrinking, &history);
		}
	}
	return has_dropped;
}

static bool drop_jobs(struct shrinking *shrinking)
{
	size_t n = shrinking->best.scenario.n_jobs;

	for (size_t fewer = n / 4 ? n / 4 : 1; fewer < n; fewer += (n - fewer) / 2 + 1) {
		struct history history = shrinking->best;

		history.scenario.n_jobs = fewer;
		scenario_settle(&history.scenario);
		if (try_history(shrinking, &history))
			return true;
	}
	return false;
}

static bool shorten(struct shrinking *shrinking)
{
	static const int parts[] = {16, 4, 2};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct history history = shrinking->best;

		history.scenario.days_ms /= parts[i];
		if (history.scenario.days_ms >= SHORTEST_MS && try_history(shrinking, &history))
			return true;
	}
	return false;
}

static bool drop_ends(struct shrinking *shrinking)
{
	bool has_dropped = false;

	for (size_t i = shrinking->best.n_ends; i > 0; i--) {
		struct history history = shrinking->best;

		history.n_ends--;
		memmove(&history.ends[i - 1], &history.ends[i],
		        (history.n_ends + 1 - i) * sizeof(history.ends[0]));
		has_dropped |= try_one(shrinking, &history);
	}
	return has_dropped;
}

static bool ends_are_equal(const struct life_end *a, const struct life_end *b)
{
	return a->from_s == b->from_s && a->kill_step == b->kill_step &&
	       a->fail_step == b->fail_step && a->is_lasting == b->is_lasting &&
	       a->is_power_cut == b->is_power_cut;
}

/* Without what comes on top of a kill, and sooner. */
static bool ease_end(struct shrinking *shrinking, size_t i)
{
	struct life_end eased[4] = {shrinking->best.ends[i], shrinking->best.ends[i],
	        shrinking->best.ends[i], shrinking->best.ends[i]};
	bool has_eased = false;

	eased[0].is_power_cut = false;
	eased[1].fail_step = 0;
	eased[1].is_lasting = false;
	eased[2].from_s = 0;
	eased[3].kill_step /= 2;
	for (size_t k = 0; k < ARRAY_LEN(eased); k++) {
		struct history history = shrinking->best;

		if (ends_are_equal(&history.ends[i], &eased[k]) ||
		        (eased[k].kill_step == 0 && eased[k].fail_step == 0))
			continue;
		history.ends[i] = eased[k];
		has_eased |= try_one(shrinking, &history);
		if (has_eased)
			break; /* the others were made of what it was */
	}
	return has_eased;
}

static bool ease_ends(struct shrinking *shrinking)
{
	bool has_eased = false;

	for (size_t i = 0; i < shrinking->best.n_ends; i++)
		has_eased |= ease_end(shrinking, i);
	return has_eased;
}

void shrink_and_tell(const struct history *history, const struct history_result *failure)
{
	struct shrinking shrinking = {.best = *history, .failure = *failure};
	bool has_shrunk;

	do {
		has_shrunk = shorten(&shrinking);
		has_shrunk |= drop_kinds(&shrinking);
		has_shrunk |= drop_ends(&shrinking);
		has_shrunk |= drop_jobs(&shrinking);
		has_shrunk |= ease_ends(&shrinking);
	} while (has_shrunk && !is_over(&shrinking));
	printf("the smallest of %d that fail like it: %s\n  replay: ", shrinking.n_tries,
	        shrinking.failure.failure);
	run_print_replay(&shrinking.best);
	fflush(stdout);
}
