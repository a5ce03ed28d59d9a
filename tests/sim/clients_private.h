/* Shared by clients.c (who reads), clients_ask.c (who asks) and clients_change.c (who changes). */
#pragma once

#include "fake.h"

enum wish {
	/* questions */
	WISH_GET,
	WISH_HISTORY,
	WISH_WAIT,
	WISH_LIST,
	WISH_ACCOUNTS,
	WISH_DELIVERIES,
	WISH_OTHER,
	WISH_FORBIDDEN, /* a change, at the door for questions */
	/* changes */
	WISH_ADD,
	WISH_DELETE,
	WISH_POLL,
	WISH_PAUSE,
	WISH_RESUME,
	WISH_RETRY,
	WISH_REPLAY,
};

struct asker {
	struct loop *loop;
	struct alarm alarm;
	struct listen_request *request; /* a held one */
	enum wish wish;
	int job;
	int delivery; /* index, of WISH_RETRY */
	int hook;     /* these of WISH_REPLAY */
	int64_t since, through;
	int variant;
	bool is_waiting;
	bool is_curious; /* came for what was just written */
};

typedef void asker_reply_fn(void *arg, int status, const char *body, size_t len);
/* One request; on_reply must call asker_is_answered first. */
void asker_ask(struct asker *from, const char *door, const char *method, const char *target,
        const char *body, asker_reply_fn *on_reply);
void asker_is_answered(struct asker *from);

/* Until a client's next doing. */
int64_t client_pause_ms(void);

/* He comes for the first time, soon. */
void client_begin(struct loop *loop, struct alarm *alarm, loop_fn *fn, void *arg);

void asker_begin(struct loop *loop);
void asker_end(void);
void changer_begin(struct loop *loop);
void changer_end(void);
