/*
 * What is done while a call or an allocation fails. Each runs in a process of its own; what it
 * makes outside of it (servers, certificates, directories) stands already.
 */
#pragma once

#include <stdint.h>

#include "fault.h"

struct world {
	char *dir;         /* a directory of this run's own, empty */
	uint16_t port;     /* where a server answers over plain HTTP, ... */
	uint16_t tls_port; /* ... and over TLS, ... */
	char *ca_file;     /* ... with this certificate */
};

struct fault_plan {
	enum fault_kind kind;
	unsigned nth, variant;
	bool is_lasting;
};

struct scenario {
	const char *name;
	/*
	 * Arms the fault where what is to be tried begins, and disarms it where the judging does.
	 * Ends the process with scenario_wrong() for what breaks a promise.
	 */
	void (*run)(const struct world *world, const struct fault_plan *fault);
	unsigned n_variants; /* errors that a failing call is tried with */
	bool is_offline;     /* asks no server: none is started for it */
};

void scenario_arm(const struct fault_plan *fault);
_Noreturn void scenario_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

extern const struct scenario scenario_store, scenario_forget, scenario_http, scenario_tls,
        scenario_listen, scenario_child, scenario_config, scenario_json;
/* Planted: they must fail. */
extern const struct scenario scenario_plant_ignored, scenario_plant_lost;
