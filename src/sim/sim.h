/*
 * The simulator as a whole: the data centers, what they remember, and what is asked of them.
 *
 *   server --request--> api --+--> fault      strikes first, may replace the whole answer
 *                             +--> token      who may ask (or, at the token's own path, who gets
 * one)
 *                             +--> org        credits, requests at once
 *                             +--> lives      where the job stands --> document
 *                             +--> request_log, before the answer leaves
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/lives.h"
#include "sim/org.h"
#include "sim/request_log.h"
#include "sim/script.h"
#include "sim/server.h"
#include "sim/token.h"
#include "util/rng.h"

enum {
	SIM_DATACENTERS_MAX = 256,
	SIM_LATER_MAX = 1000, /* scripts that came by POST */
	SIM_STATUS_MAX = 600,
};

struct sim_datacenter_option {
	const char *name;
	uint16_t port; /* 0 = the kernel's choice */
};

struct sim_options {
	const char *script_file; /* NULL = none */
	struct sim_datacenter_option datacenters[SIM_DATACENTERS_MAX];
	size_t n_datacenters;             /* 0 = the six, and those of the script */
	const char *cert_file, *key_file; /* both or none */
	const char *ca_file;              /* for the port file, or NULL */
	const char *port_file, *log_file;
	bool has_admin;
	uint64_t seed;
	double speed;
};

struct sim;

struct datacenter {
	struct sim *sim;
	uint16_t index;
	char *name;                 /* owned */
	char *url;                  /* owned: of its API and its accounts server */
	struct server *server;      /* owned */
	struct event *accept_again; /* owned: ends a refusal */
	struct dist latency;
	struct org own; /* of requests of no organisation's */
	uint64_t n_status[SIM_STATUS_MAX];
	uint64_t n_unanswered;
	uint64_t n_token_requests;
};

struct sim {
	struct event_base *base; /* owned */
	SSL_CTX *tls;            /* owned, or NULL */
	struct script *script;   /* owned, maybe empty */
	struct script **later;   /* owned: newest last */
	size_t n_later;
	struct datacenter *datacenters; /* owned */
	size_t n_datacenters;
	struct org *orgs; /* owned: the script's organisations, in its order */
	size_t n_orgs;
	struct lives *lives;     /* owned */
	struct tokens *tokens;   /* owned */
	struct request_log *log; /* owned */
	struct server *admin;    /* owned, or NULL */
	struct rng rng;
	int64_t started_mono_ms;
	uint32_t max_connections; /* of one data center */
};

/*
 * Listens everywhere, but the port file is not written yet. 0 and *out; SCRIPT_E_INVALID with the
 * problems; or a negative error with the reason in problems.
 */
int sim_new(const struct sim_options *options, struct sim **out, struct buf *problems);
/* Takes NULL, returns NULL. */
struct sim *sim_free(struct sim *sim);
/* Until SIGTERM, SIGINT or sim_stop(). 0, or a negative error. */
int sim_run(struct sim *sim);
void sim_stop(struct sim *sim);

/* NULL if there is none. */
struct datacenter *sim_datacenter(struct sim *sim, const char *name);
/* Of the script; the data center's own for NULL. */
struct org *sim_org(struct sim *sim, struct datacenter *dc, const char *name);
/* Reads jobs and faults that are to be in force at once, before all others. As script_parse(). */
int sim_add_script(struct sim *sim, const char *text, size_t len, struct buf *problems);
/* As at the start: nothing was asked, nothing was added. Connections and the log stay. */
void sim_reset(struct sim *sim);
/* Refuses connections there; for_ms 0 = for ever. */
void sim_refuse(struct datacenter *dc, int64_t for_ms);
/* The newest job of the scripts that means the id; the default one if there is none. */
const struct script_job *sim_job(struct sim *sim, const struct datacenter *dc, const char *id);
/* The fault that strikes, or NULL. */
struct fault *sim_fault(struct sim *sim, const struct fault_target *target);
