#include "core/learn.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const double BIN_FIRST_MS = 64;
static const double BIN_LOG_WIDTH = 0.69314718055994531 / 6;

/* Per finished job; and how sure the mix may become, which bounds how long a change goes unnoticed.
 */
static const double MEMORY_JOBS[LEARN_MEMORIES] = {500, 20};
static const double SCORE_MAX = 6;
static const double SHORT_SHARE_LEFT = 0.3;

/* What is believed before anything is seen: one finish per unit of log-age (a hazard of
 * 1/age), seen on a twentieth of a job. */
static const double PRIOR_RATE = 1;
static const double PRIOR_WEIGHT = 0.05;

static const double HAZARD_MIN = 1e-12; /* a millisecond */
static const double HAZARD_MAX = 1;

double learn_bin_ms(size_t i)
{
	/* Powers of the sixth root of 2: each poll asks for a few. */
	static const double sixths[] = {1, 0x1.1f59ac3c7d6c0p+0, 0x1.428a2f98d728bp+0,
	        0x1.6a09e667f3bcdp+0, 0x1.965fea53d6e3dp+0, 0x1.c823e074ec129p+0};

	if (i == 0)
		return 0;
	return BIN_FIRST_MS * (double)(UINT64_C(1) << (i - 1) / 6) * sixths[(i - 1) % 6];
}

size_t learn_bin_of(double age_ms)
{
	if (age_ms < BIN_FIRST_MS)
		return 0;
	double place = 1 + log(age_ms / BIN_FIRST_MS) / BIN_LOG_WIDTH;

	return place < LEARN_BINS - 1 ? (size_t)place : LEARN_BINS - 1;
}

static double clamp(double value, double low, double high)
{
	return value < low ? low : value > high ? high : value;
}

/* ---- the curve ---- */

/* Bins between which the middle half of the finishes lies. */
static double middle_half(const float *finished, double total)
{
	double sum = 0, from = -1;

	for (size_t i = 0;; i++) {
		assert(i < LEARN_BINS); /* the sum of all is the total */
		double next = sum + (double)finished[i];

		if (from < 0 && next >= total / 4)
			from = (double)i + (total / 4 - sum) / (next - sum);
		if (next >= total * 3 / 4)
			return (double)i + (total * 3 / 4 - sum) / (next - sum) - from;
		sum = next;
	}
}

/* Silverman's rule of thumb (1986, "Density Estimation", 3.31), in bins. */
static double bandwidth(const struct learn_memory *memory)
{
	double total = 0, mean = 0, square = 0;

	for (size_t i = 0; i < LEARN_BINS; i++) {
		double n = (double)memory->finished[i];

		total += n;
		mean += n * (double)i;
		square += n * (double)i * (double)i;
	}
	if (total < 1)
		return 0;
	mean /= total;
	double variance = square / total - mean * mean;
	double spread = variance > 0 ? sqrt(variance) : 0;
	double robust = middle_half(memory->finished, total) / 1.34;

	if (robust < spread)
		spread = robust;
	return clamp(0.9 * spread * pow(total, -0.2), 0.5, 9);
}

enum { KERNEL_MAX = 28 }; /* three times the widest bandwidth */

static void smooth(const struct learn_memory *memory, float hazard[LEARN_BINS])
{
	double width = bandwidth(memory), kernel[KERNEL_MAX] = {1};
	size_t reach = (size_t)(3 * width);

	assert(reach < KERNEL_MAX);
	for (size_t d = 1; d <= reach; d++)
		kernel[d] = exp(-(double)(d * d) / (2 * width * width));
	for (size_t i = 0; i < LEARN_BINS; i++) {
		size_t low = i > reach ? i - reach : 0;
		size_t high = i + reach < LEARN_BINS ? i + reach : LEARN_BINS - 1;
		double finished = 0, passed = 0, weight = 0;

		for (size_t j = low; j <= high; j++) {
			double share = kernel[j > i ? j - i : i - j];

			finished += share * (double)memory->finished[j];
			passed += share * (double)memory->passed[j];
			weight += share;
		}
		/* In finishes per bin passed; the weights cancel but for the prior's. */
		double rate = (finished / weight + PRIOR_WEIGHT * PRIOR_RATE * BIN_LOG_WIDTH) /
		              (passed / weight + PRIOR_WEIGHT);
		double ms = learn_bin_ms(i + 1) - learn_bin_ms(i);

		hazard[i] = (float)clamp(rate / ms, HAZARD_MIN, HAZARD_MAX);
	}
}

void learn_curve_make(const struct learn *learn, struct learn_curve *curve)
{
	double trust = 1 / (1 + exp(-(double)learn->score)); /* in the long memory */

	for (size_t m = 0; m < LEARN_MEMORIES; m++)
		smooth(&learn->memories[m], curve->of_memory[m]);
	for (size_t i = 0; i < LEARN_BINS; i++)
		curve->hazard[i] = (float)(trust * (double)curve->of_memory[0][i] +
		                           (1 - trust) * (double)curve->of_memory[1][i]);
}

/* ---- learning ---- */

/* A piece of an age span that lies in one bin. */
struct piece {
	size_t bin;
	double ms;    /* its length */
	double share; /* of its bin's width */
};

struct span {
	double at, to;
	size_t bin;
};

static struct span span_of(int64_t from_ms, int64_t to_ms)
{
	double from = from_ms > 0 ? (double)from_ms : 0;
	double to = to_ms > from_ms && to_ms > 0 ? (double)to_ms : from;

	return (struct span){.at = from, .to = to, .bin = learn_bin_of(from)};
}

static bool span_next(struct span *span, struct piece *piece)
{
	if (span->at >= span->to)
		return false;
	double low = learn_bin_ms(span->bin), high = learn_bin_ms(span->bin + 1);
	double end = span->to < high || span->bin == LEARN_BINS - 1 ? span->to : high;

	assert(span->bin < LEARN_BINS && end >= span->at);
	*piece = (struct piece){
	        .bin = span->bin,
	        .ms = end - span->at,
	        .share = (end - span->at) / (high - low),
	};
	span->at = end;
	span->bin++;
	return true;
}

static double cumulative(const float *hazard, int64_t from_ms, int64_t to_ms)
{
	struct span span = span_of(from_ms, to_ms);
	struct piece piece;
	double sum = 0;

	while (span_next(&span, &piece))
		sum += (double)hazard[piece.bin] * piece.ms;
	return sum;
}

/* log(1 - exp(-x)) */
static double log_chance(double x)
{
	if (x < 1e-12)
		x = 1e-12;
	return x < 1e-4 ? log(x) : log(1 - exp(-x));
}

static void shrink(struct learn_memory *memory, double share)
{
	for (size_t i = 0; i < LEARN_BINS; i++) {
		memory->passed[i] *= (float)share;
		memory->finished[i] *= (float)share;
	}
}

/*
 * Where the short memory has won for certain, durations have changed: what the long one holds is of
 * another time. Both begin anew from what is left of the short one, most of which is of that other
 * time too.
 */
static void add_score(struct learn *learn, double difference)
{
	learn->score = (float)clamp((double)learn->score + difference, -SCORE_MAX, SCORE_MAX);
	if (learn->score > (float)-SCORE_MAX)
		return;
	shrink(&learn->memories[1], SHORT_SHARE_LEFT);
	learn->memories[0] = learn->memories[1];
	learn->score = 0;
}

void learn_passed(
        struct learn *learn, const struct learn_curve *curve, int64_t from_ms, int64_t to_ms)
{
	const struct span whole = span_of(from_ms, to_ms);
	struct span span = whole;
	struct piece piece;
	double difference = 0;

	while (span_next(&span, &piece))
		difference += ((double)curve->of_memory[1][piece.bin] -
		                      (double)curve->of_memory[0][piece.bin]) *
		              piece.ms;
	add_score(learn, difference);
	span = whole;
	while (span_next(&span, &piece)) {
		for (size_t m = 0; m < LEARN_MEMORIES; m++)
			learn->memories[m].passed[piece.bin] += (float)piece.share;
	}
}

static void forget(struct learn *learn)
{
	for (size_t m = 0; m < LEARN_MEMORIES; m++)
		shrink(&learn->memories[m], 1 - 1 / MEMORY_JOBS[m]);
}

void learn_finished(
        struct learn *learn, const struct learn_curve *curve, int64_t from_ms, int64_t to_ms)
{
	if (to_ms <= from_ms)
		to_ms = from_ms + 1;
	double whole = cumulative(curve->hazard, from_ms, to_ms);
	double chance = 1 - exp(-whole);
	/* Where the hazards cannot say, every instant is as likely. */
	bool is_flat = !learn_knows_enough(learn) || chance < 1e-9;
	struct span span = span_of(from_ms, to_ms);
	double left = 1, length = span.to - span.at;
	struct piece piece;

	forget(learn);
	add_score(learn, log_chance(cumulative(curve->of_memory[0], from_ms, to_ms)) -
	                         log_chance(cumulative(curve->of_memory[1], from_ms, to_ms)));
	double survived = 1;

	while (span_next(&span, &piece)) {
		double next = survived * exp(-(double)curve->hazard[piece.bin] * piece.ms);
		double here = is_flat ? piece.ms / length : (survived - next) / chance;

		survived = next;
		left -= here;
		/* Those that finish in the piece pass half of it on average. */
		double passed = (clamp(left, 0, 1) + here / 2) * piece.share;

		for (size_t m = 0; m < LEARN_MEMORIES; m++) {
			learn->memories[m].finished[piece.bin] += (float)here;
			learn->memories[m].passed[piece.bin] += (float)passed;
		}
	}
	if (learn->n_samples < UINT32_MAX)
		learn->n_samples++;
}

/* ---- questions ---- */

bool learn_knows_enough(const struct learn *learn)
{
	return learn->n_samples >= LEARN_SAMPLES_MIN;
}

double learn_hazard(const struct learn_curve *curve, int64_t age_ms)
{
	return (double)curve->hazard[learn_bin_of(age_ms > 0 ? (double)age_ms : 0)];
}

double learn_survival(const struct learn_curve *curve, int64_t from_ms, int64_t to_ms)
{
	return exp(-cumulative(curve->hazard, from_ms, to_ms));
}

int64_t learn_quantile_ms(const struct learn_curve *curve, double share)
{
	double wanted = -log(1 - clamp(share, 0, 0.999999)), sum = 0;

	for (size_t i = 0; i < LEARN_BINS; i++) {
		double hazard = (double)curve->hazard[i], from = learn_bin_ms(i);
		double next = sum + hazard * (learn_bin_ms(i + 1) - from);

		if (next >= wanted)
			return (int64_t)(from + (wanted - sum) / hazard);
		sum = next;
	}
	return (int64_t)learn_bin_ms(LEARN_BINS);
}

/* ---- as text ---- */

/*
 * "1 SAMPLES SCORE" and for each memory two rows, passed and finished: numbers in thousandths, a
 * run of N zeros as "zN". The score is moved to be positive.
 *
 * Example: "1 31 5250 z40 310 31000 ... z118 z40 250 ..."
 */
enum { TEXT_VERSION = 1 };

static const double TEXT_SCALE = 1000;
static const uint64_t TEXT_NUMBER_MAX = 9999999; /* beyond what a memory can hold */

struct writer {
	char *at, *end;
};

static void put_char(struct writer *writer, char c)
{
	assert(writer->at < writer->end);
	*writer->at++ = c;
}

static void put_number(struct writer *writer, char prefix, uint64_t number)
{
	char digits[20];
	size_t n = 0;

	do
		digits[n++] = (char)('0' + number % 10);
	while (number /= 10);
	put_char(writer, ' ');
	if (prefix)
		put_char(writer, prefix);
	while (n > 0)
		put_char(writer, digits[--n]);
}

static uint64_t quantity(float value)
{
	double scaled = (double)value * TEXT_SCALE + 0.5;

	return scaled < (double)TEXT_NUMBER_MAX ? (uint64_t)scaled : TEXT_NUMBER_MAX;
}

static void put_row(struct writer *writer, const float row[LEARN_BINS])
{
	size_t zeros = 0;

	for (size_t i = 0; i < LEARN_BINS; i++) {
		uint64_t number = quantity(row[i]);

		if (number == 0) {
			zeros++;
			continue;
		}
		if (zeros > 0)
			put_number(writer, 'z', zeros);
		zeros = 0;
		put_number(writer, 0, number);
	}
	if (zeros > 0)
		put_number(writer, 'z', zeros);
}

void learn_encode(const struct learn *learn, char text[static LEARN_TEXT_MAX])
{
	struct writer writer = {.at = text, .end = text + LEARN_TEXT_MAX - 1};

	put_char(&writer, '0' + TEXT_VERSION);
	put_number(&writer, 0, learn->n_samples);
	put_number(&writer, 0, quantity(learn->score + (float)SCORE_MAX));
	for (size_t m = 0; m < LEARN_MEMORIES; m++) {
		put_row(&writer, learn->memories[m].passed);
		put_row(&writer, learn->memories[m].finished);
	}
	*writer.at = '\0';
}

static bool take_number(const char **at, char prefix, uint64_t max, uint64_t *number)
{
	const char *s = *at;

	if (*s != ' ' || (prefix && s[1] != prefix))
		return false;
	s += prefix ? 2 : 1;
	if (*s < '0' || *s > '9')
		return false;
	for (*number = 0; *s >= '0' && *s <= '9'; s++) {
		*number = *number * 10 + (uint64_t)(*s - '0');
		if (*number > max)
			return false;
	}
	*at = s;
	return true;
}

static bool take_row(const char **at, float row[LEARN_BINS])
{
	size_t i = 0;

	while (i < LEARN_BINS) {
		uint64_t number;

		if (take_number(at, 'z', LEARN_BINS - i, &number)) {
			if (number == 0)
				return false;
			i += (size_t)number; /* zero already */
			continue;
		}
		if (!take_number(at, 0, TEXT_NUMBER_MAX, &number))
			return false;
		row[i++] = (float)((double)number / TEXT_SCALE);
	}
	return true;
}

static bool take_all(struct learn *learn, const char *text)
{
	uint64_t samples, score;

	if (*text++ != '0' + TEXT_VERSION || !take_number(&text, 0, UINT32_MAX, &samples) ||
	        !take_number(&text, 0, (uint64_t)(2 * SCORE_MAX * TEXT_SCALE), &score))
		return false;
	learn->n_samples = (uint32_t)samples;
	learn->score = (float)((double)score / TEXT_SCALE - SCORE_MAX);
	for (size_t m = 0; m < LEARN_MEMORIES; m++) {
		if (!take_row(&text, learn->memories[m].passed) ||
		        !take_row(&text, learn->memories[m].finished))
			return false;
	}
	return *text == '\0';
}

bool learn_decode(struct learn *learn, const char *text)
{
	*learn = (struct learn){0};
	if (take_all(learn, text))
		return true;
	*learn = (struct learn){0};
	return false;
}
