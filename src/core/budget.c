#include "core/budget.h"

#include <assert.h>
#include <string.h>

enum { BLOCKS = 1000, LOW_PERCENT = 80 };

static const int64_t NUMBER_MAX = INT64_C(1000000000000);

static int64_t slot_of(int64_t at_ms)
{
	return at_ms / BUDGET_SLOT_MS;
}

static size_t place_of(int64_t slot)
{
	return (size_t)(slot % BUDGET_SLOTS);
}

/* Brings the ring to the present. A time that goes back changes nothing. */
static void advance(struct budget *budget, int64_t at_ms)
{
	int64_t now = slot_of(at_ms);

	if (now <= budget->head)
		return;
	budget->slots[place_of(budget->head)] -= budget->reserved;
	budget->reserved = 0;
	if (now - budget->head >= BUDGET_SLOTS) {
		memset(budget->slots, 0, sizeof(budget->slots));
	} else {
		for (int64_t slot = budget->head + 1; slot <= now; slot++)
			budget->slots[place_of(slot)] = 0;
	}
	budget->head = now;
}

/* As it is at that time: itself, or else a copy. */
static const struct budget *at(const struct budget *budget, int64_t at_ms, struct budget *copy)
{
	if (slot_of(at_ms) <= budget->head)
		return budget;
	*copy = *budget;
	advance(copy, at_ms);
	return copy;
}

/* What is reserved included. */
static int64_t total(const struct budget *budget)
{
	int64_t sum = 0;

	for (size_t i = 0; i < BUDGET_SLOTS; i++)
		sum += budget->slots[i];
	return sum;
}

static bool is_told(const struct budget *budget, int64_t at_ms)
{
	return budget->told_at_ms && at_ms - budget->told_at_ms < BUDGET_TOLD_MS;
}

/* What may be reserved beyond what is reserved already. */
static int64_t unreserved(const struct budget *budget, int64_t at_ms)
{
	int64_t left = budget->ceiling - total(budget);

	if (is_told(budget, at_ms) && budget->told - budget->reserved < left)
		left = budget->told - budget->reserved;
	return left > 0 ? left : 0;
}

static void unreserve(struct budget *budget, int64_t n)
{
	if (n > budget->reserved)
		n = budget->reserved;
	if (n <= 0)
		return;
	budget->reserved -= n;
	budget->slots[place_of(budget->head)] -= n;
}

void budget_set_ceiling(struct budget *budget, int64_t ceiling)
{
	budget->ceiling = ceiling;
	unreserve(budget, total(budget) - ceiling);
}

/* What is used of a slot, by how many slots it lies back. */
static int64_t used(const struct budget *budget, int64_t ago)
{
	return budget->slots[place_of(budget->head - ago)] - (ago == 0 ? budget->reserved : 0);
}

void budget_take_over(
        struct budget *budget, const struct budget *other, int64_t at_ms, bool is_apart)
{
	struct budget copy;
	const struct budget *theirs = at(other, at_ms, &copy);

	advance(budget, at_ms);
	assert(theirs->head == budget->head); /* one clock */
	for (int64_t ago = 0; ago < BUDGET_SLOTS && ago <= budget->head; ago++) {
		int64_t n = used(theirs, ago) - (is_apart ? 0 : used(budget, ago));

		if (n > 0)
			budget->slots[place_of(budget->head - ago)] += n;
	}
	unreserve(budget, total(budget) - budget->ceiling);
}

int64_t budget_block(const struct budget *budget)
{
	int64_t block = budget->ceiling / BLOCKS;

	return block > 1 ? block : 1;
}

int64_t budget_spent(const struct budget *budget, int64_t at_ms)
{
	struct budget copy;
	const struct budget *present = at(budget, at_ms, &copy);

	return total(present) - present->reserved;
}

int64_t budget_left(const struct budget *budget, int64_t at_ms)
{
	struct budget copy;
	const struct budget *present = at(budget, at_ms, &copy);

	return unreserved(present, at_ms) + present->reserved;
}

int64_t budget_reserve(struct budget *budget, int64_t at_ms)
{
	advance(budget, at_ms);
	int64_t n = unreserved(budget, at_ms), block = budget_block(budget);

	if (n > block)
		n = block;
	budget->slots[place_of(budget->head)] += n;
	budget->reserved += n;
	return n;
}

bool budget_has_reserved(const struct budget *budget, int64_t at_ms)
{
	return budget->reserved > 0 && slot_of(at_ms) <= budget->head;
}

static void count_told(struct budget *budget, int64_t n)
{
	budget->told -= n;
	if (budget->told < 0)
		budget->told = 0;
}

bool budget_take(struct budget *budget, int64_t at_ms)
{
	advance(budget, at_ms);
	if (budget->reserved == 0)
		return false;
	budget->reserved--;
	count_told(budget, 1);
	return true;
}

void budget_take_more(struct budget *budget, int64_t at_ms, int64_t n)
{
	advance(budget, at_ms);
	for (; n > 0 && budget->reserved > 0; n--)
		budget_take(budget, at_ms);
	budget->slots[place_of(budget->head)] += n;
	count_told(budget, n);
}

void budget_return_reserved(struct budget *budget)
{
	unreserve(budget, budget->reserved);
}

/* Only while its slot lasts: later it stays spent, which errs on the safe side. */
void budget_give_back(struct budget *budget, int64_t at_ms)
{
	advance(budget, at_ms);
	if (budget->slots[place_of(budget->head)] > budget->reserved)
		budget->reserved++;
}

int64_t budget_closed_until_ms(const struct budget *budget, int64_t at_ms)
{
	if (budget_has_reserved(budget, at_ms))
		return 0;
	struct budget copy;
	const struct budget *present = at(budget, at_ms, &copy);

	if (unreserved(present, at_ms) > 0)
		return 0;
	int64_t sum = total(present), until = 0;

	/* The oldest slots fall out first. */
	for (int64_t slot = present->head - BUDGET_SLOTS + 1;
	        sum >= present->ceiling && slot <= present->head; slot++) {
		if (slot >= 0)
			sum -= present->slots[place_of(slot)];
		until = (slot + BUDGET_SLOTS) * BUDGET_SLOT_MS;
	}
	if (is_told(budget, at_ms) && present->told == 0 &&
	        until < present->told_at_ms + BUDGET_TOLD_MS)
		until = present->told_at_ms + BUDGET_TOLD_MS;
	assert(until > at_ms);
	return until;
}

void budget_tell(struct budget *budget, int64_t at_ms, int64_t remaining)
{
	budget->told = remaining > 0 ? remaining : 0;
	budget->told_at_ms = at_ms;
	advance(budget, at_ms);
	unreserve(budget, budget->reserved - budget->told);
}

enum budget_mark budget_mark(const struct budget *budget, int64_t at_ms)
{
	struct budget copy;
	const struct budget *present = at(budget, at_ms, &copy);
	int64_t spent = total(present) - present->reserved;

	if (present->reserved == 0 && unreserved(present, at_ms) == 0)
		return BUDGET_SPENT;
	return spent * 100 >= present->ceiling * LOW_PERCENT ? BUDGET_LOW : BUDGET_FINE;
}

/* ---- as text ---- */

/*
 * "1 HEAD TOLD TOLD_AT" and then, for each slot that is not empty, how many slots before HEAD it
 * lies and what was spent in it: " AGO:CREDITS".
 *
 * Example: "1 2983401 0 0 0:4 1:36 2:40"
 */
enum { TEXT_VERSION = '1' };

static char *put_number(char *to, char before, int64_t number)
{
	char digits[20];
	size_t n = 0;

	*to++ = before;
	do
		digits[n++] = (char)('0' + number % 10);
	while (number /= 10);
	while (n > 0)
		*to++ = digits[--n];
	return to;
}

void budget_encode(const struct budget *budget, char text[static BUDGET_TEXT_MAX])
{
	char *end = text;

	*end++ = TEXT_VERSION;
	end = put_number(end, ' ', budget->head);
	end = put_number(end, ' ', budget->told < NUMBER_MAX ? budget->told : NUMBER_MAX);
	end = put_number(end, ' ', budget->told_at_ms);
	for (int64_t ago = 0; ago < BUDGET_SLOTS && ago <= budget->head; ago++) {
		int64_t n = budget->slots[place_of(budget->head - ago)];

		if (n == 0)
			continue;
		end = put_number(end, ' ', ago);
		end = put_number(end, ':', n < NUMBER_MAX ? n : NUMBER_MAX);
	}
	*end++ = '\0';
	assert(end <= text + BUDGET_TEXT_MAX);
}

static bool take_number(const char **text, char before, int64_t max, int64_t *number)
{
	const char *s = *text;

	if (*s++ != before || *s < '0' || *s > '9')
		return false;
	for (*number = 0; *s >= '0' && *s <= '9'; s++) {
		if (*number > (max - (*s - '0')) / 10)
			return false;
		*number = *number * 10 + (*s - '0');
	}
	*text = s;
	return true;
}

bool budget_decode(struct budget *budget, const char *text, int64_t at_ms)
{
	struct budget read = {.ceiling = budget->ceiling};
	int64_t ago, n, now = slot_of(at_ms);

	if (*text++ != TEXT_VERSION ||
	        !take_number(&text, ' ', INT64_MAX / BUDGET_SLOT_MS - BUDGET_SLOTS, &read.head) ||
	        !take_number(&text, ' ', NUMBER_MAX, &read.told) ||
	        !take_number(&text, ' ', INT64_MAX / 2, &read.told_at_ms))
		return false;
	if (read.head > now)
		read.head = now;
	while (take_number(&text, ' ', BUDGET_SLOTS - 1, &ago)) {
		if (!take_number(&text, ':', NUMBER_MAX, &n))
			return false;
		if (ago <= read.head)
			read.slots[place_of(read.head - ago)] = n;
	}
	if (*text != '\0')
		return false;
	if (read.told_at_ms > at_ms)
		read.told_at_ms = at_ms;
	advance(&read, at_ms);
	*budget = read;
	return true;
}
