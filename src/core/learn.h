/*
 * How long jobs take, learned from the answers to our own polls.
 *
 * A life table over the logarithm of a job's age: for each bin of ages, how many jobs were seen to
 * pass it and how many finished in it; the second by the first is the hazard there. An answer "not
 * yet" counts what the job has passed since the answer before, so that unfinished jobs
 * (right-censored) weigh what they should; a finish that lies between two polls (interval-censored)
 * is spread over what lies between them, as the hazards known so far make likely (the E step of
 * Turnbull 1976, doi 10.1111/j.2517-6161.1976.tb01597.x).
 *
 * Two memories forget exponentially, one over about 500 finished jobs, one over about 20. They are
 * mixed by how well each predicted what came, so that durations may drift.
 *
 * Ages are from the first watching, in milliseconds. Pure, and without memory of its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LEARN_MEMORIES = 2, /* the long one, the short one */
	LEARN_BINS = 160,   /* six an octave, from 64 ms to 70 days; the first begins at 0 */
	LEARN_SAMPLES_MIN = 30,
	LEARN_TEXT_MAX = LEARN_MEMORIES * LEARN_BINS * 2 * 9 + 64,
};

struct learn_memory {
	float passed[LEARN_BINS];   /* jobs that were at risk in the bin, in parts of its width */
	float finished[LEARN_BINS]; /* jobs that finished in it */
};

/* Zero-initialised knows nothing. */
struct learn {
	struct learn_memory memories[LEARN_MEMORIES];
	float score;        /* log of how much better the long memory predicts than the short */
	uint32_t n_samples; /* finished jobs, for ever */
};

/* What follows from it: hazards a millisecond, constant in each bin. */
struct learn_curve {
	float hazard[LEARN_BINS];
	float of_memory[LEARN_MEMORIES][LEARN_BINS];
};

/* Where the bin begins; i up to LEARN_BINS, where the last one counts as ended. */
double learn_bin_ms(size_t i);
size_t learn_bin_of(double age_ms);

/*
 * Smoothed, with a hazard of 1/age where nothing is known: never 0, never beyond one over a
 * millisecond. Some 20 us: made anew when something was learned, not for every question.
 */
void learn_curve_make(const struct learn *learn, struct learn_curve *curve);

/* The job was seen unfinished at from_ms and still is at to_ms. `curve`: of before. */
void learn_passed(
        struct learn *learn, const struct learn_curve *curve, int64_t from_ms, int64_t to_ms);
/* It was unfinished at from_ms and finished at to_ms. */
void learn_finished(
        struct learn *learn, const struct learn_curve *curve, int64_t from_ms, int64_t to_ms);
/* There are LEARN_SAMPLES_MIN samples at least. */
bool learn_knows_enough(const struct learn *learn);

double learn_hazard(const struct learn_curve *curve, int64_t age_ms);
/* The probability that a job unfinished at from_ms is unfinished at to_ms. */
double learn_survival(const struct learn_curve *curve, int64_t from_ms, int64_t to_ms);
/* The age by which this share of jobs is finished: 0.5 for the median. */
int64_t learn_quantile_ms(const struct learn_curve *curve, double share);

/*
 * As a text of digits, spaces and letters that ends with NUL, and back; text has room for
 * LEARN_TEXT_MAX. Quantities keep three digits after the point. learn_decode: false (and *learn
 * knows nothing) for what learn_encode did not make.
 */
void learn_encode(const struct learn *learn, char text[static LEARN_TEXT_MAX]);
bool learn_decode(struct learn *learn, const char *text);
