/*
 * Credits: what polls have cost in any rolling 24 hours, and whether one more may be spent.
 *
 * A ring of ten-minute slots that together cover 24 hours and a slot more, so that no window of 24
 * hours ever holds more than the ceiling. Credits are reserved in blocks of a thousandth of the
 * ceiling (at least one) before they are used: the caller brings the ledger to disk in between.
 * What is left of a block goes back when its slot ends, so that every credit counts in the slot
 * that it was used in; on disk the whole block stands as spent, which a crash then forfeits.
 *
 * Times are Unix milliseconds, but need not be the wall clock's: whoever runs for long gives a
 * clock that never steps, begun at the wall clock. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	BUDGET_SLOT_MS = 10 * 60 * 1000,
	BUDGET_SLOTS = 24 * 6 + 1,
	BUDGET_TOLD_MS = 60 * 60 * 1000, /* how long Zoho's word about the rest is believed */
	BUDGET_TEXT_MAX = 64 + BUDGET_SLOTS * 21,
};

/* Zero-initialised has spent nothing and may spend nothing: budget_set_ceiling. */
struct budget {
	int64_t ceiling;             /* in 24 hours */
	int64_t head;                /* the number of the present slot: time / BUDGET_SLOT_MS */
	int64_t slots[BUDGET_SLOTS]; /* reserved in each, by number modulo BUDGET_SLOTS */
	int64_t reserved;            /* of the present slot's: not used yet */
	int64_t told;                /* Zoho's: credits of the organisation left */
	int64_t told_at_ms;          /* 0 = Zoho said nothing */
};

/* The ledger stays; a lower ceiling may find it overdrawn already, and takes back what is reserved
 * beyond it. */
void budget_set_ceiling(struct budget *budget, int64_t ceiling);
int64_t budget_block(const struct budget *budget);

/*
 * What was spent of `other` counts here as well, with or without having been reserved here.
 * is_apart: none of it is counted here yet, so it is added. Else some or all of it may be, and each
 * slot comes to hold at least what the other's holds: whoever used the other before has then still
 * spent no less here, and doing it again changes nothing. Both run on the same clock. Zoho's word
 * stays.
 */
void budget_take_over(
        struct budget *budget, const struct budget *other, int64_t at_ms, bool is_apart);

/* Spent in the last 24 hours, what is reserved not included; by the end of the slot at the latest.
 */
int64_t budget_spent(const struct budget *budget, int64_t at_ms);
/* What may be spent now, reserved or not; never below 0. Zoho's word counts if it is lower. */
int64_t budget_left(const struct budget *budget, int64_t at_ms);

/*
 * Reserves a block, or what is left of the budget if that is less. The number of credits: 0 = the
 * budget is spent. They are to be used after the ledger is on disk.
 */
int64_t budget_reserve(struct budget *budget, int64_t at_ms);
/* Uses one reserved credit. False: none is there, reserve first. */
bool budget_take(struct budget *budget, int64_t at_ms);
/* A request went out more than once: the further n count too, reserved or not. */
void budget_take_more(struct budget *budget, int64_t at_ms, int64_t n);
/* A request did not go out after all. */
void budget_give_back(struct budget *budget, int64_t at_ms);
/* What was reserved did not come to disk: none of it may be used. */
void budget_return_reserved(struct budget *budget);
/* One that is reserved can be taken. */
bool budget_has_reserved(const struct budget *budget, int64_t at_ms);
/* 0: one can be taken or reserved now. Else when to ask again. */
int64_t budget_closed_until_ms(const struct budget *budget, int64_t at_ms);

/* The header X-API-CREDITS-REMAINING of an answer. */
void budget_tell(struct budget *budget, int64_t at_ms, int64_t remaining);

/* How much is spent: below 80 %, 80 % or more, all. */
enum budget_mark { BUDGET_FINE, BUDGET_LOW, BUDGET_SPENT };
enum budget_mark budget_mark(const struct budget *budget, int64_t at_ms);

/*
 * The ledger (not the ceiling) as a text, and back. What was reserved and not used counts as spent
 * in what is read back. budget_decode: false, with nothing changed, for what budget_encode did not
 * make. A ledger of the future (the clock was set back) is taken as one that ends now.
 */
void budget_encode(const struct budget *budget, char text[static BUDGET_TEXT_MAX]);
bool budget_decode(struct budget *budget, const char *text, int64_t at_ms);
