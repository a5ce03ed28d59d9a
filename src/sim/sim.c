#include "sim/sim.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "sim/admin.h"
#include "sim/api.h"
#include "sim/tls.h"
#include "util/clock.h"
#include "util/err.h"
#include "util/log.h"
#include "util/mem.h"

enum {
	SIM_FILES_KEPT = 64, /* descriptors that are no connections */
	SIM_ADMIN_CONNECTIONS_MAX = 64,
};

static const char *const sim_names[] = {"us", "eu", "au", "in", "cn", "jp"};

struct datacenter *sim_datacenter(struct sim *sim, const char *name)
{
	for (size_t i = 0; i < sim->n_datacenters; i++) {
		if (strcmp(sim->datacenters[i].name, name) == 0)
			return &sim->datacenters[i];
	}
	return NULL;
}

struct org *sim_org(struct sim *sim, struct datacenter *dc, const char *name)
{
	for (size_t i = 0; name && i < sim->n_orgs; i++) {
		if (strcmp(sim->orgs[i].name, name) == 0)
			return &sim->orgs[i];
	}
	return &dc->own;
}

static bool job_is_meant(const struct script_job *job, const struct datacenter *dc, const char *id)
{
	return (!job->dc || strcmp(job->dc, dc->name) == 0) && ids_has(&job->ids, id);
}

const struct script_job *sim_job(struct sim *sim, const struct datacenter *dc, const char *id)
{
	for (size_t i = sim->n_later + 1; i-- > 0;) {
		const struct script *script = i > 0 ? sim->later[i - 1] : sim->script;

		for (size_t k = 0; k < script->n_jobs; k++) {
			if (job_is_meant(&script->jobs[k], dc, id))
				return &script->jobs[k];
		}
	}
	return script_default_job();
}

struct fault *sim_fault(struct sim *sim, const struct fault_target *target)
{
	for (size_t i = sim->n_later + 1; i-- > 0;) {
		struct script *script = i > 0 ? sim->later[i - 1] : sim->script;

		for (size_t k = 0; k < script->n_faults; k++) {
			if (fault_strikes(&script->faults[k], target, &sim->rng))
				return &script->faults[k];
		}
	}
	return NULL;
}

static void on_accept_again(evutil_socket_t fd, short what, void *arg)
{
	struct datacenter *dc = arg;
	int r = server_accept_again(dc->server);

	(void)fd;
	(void)what;
	if (r < 0)
		log_error("%s listens no more: %s", dc->name, err_text(r));
}

void sim_refuse(struct datacenter *dc, int64_t for_ms)
{
	struct timeval wait = {.tv_sec = for_ms / 1000, .tv_usec = for_ms % 1000 * 1000};

	server_refuse(dc->server);
	evtimer_del(dc->accept_again);
	if (for_ms > 0)
		evtimer_add(dc->accept_again, &wait);
}

/* Refusals that wait for no request. */
static void sim_refuse_at_once(struct sim *sim, struct script *script)
{
	struct rng none = {0};

	for (size_t i = 0; i < script->n_faults; i++) {
		struct fault *fault = &script->faults[i];

		if (!fault_is_immediate(fault))
			continue;
		for (size_t k = 0; k < sim->n_datacenters; k++) {
			struct datacenter *dc = &sim->datacenters[k];
			struct fault_target target = {.dc = dc->name,
			        .id = "",
			        .path = fault->path,
			        .mono_ms = clock_now().mono_ms};

			if (fault->dc && strcmp(fault->dc, dc->name) != 0)
				continue;
			sim_refuse(dc, fault->for_ms);
			fault_strikes(fault, &target, &none);
		}
	}
}

int sim_add_script(struct sim *sim, const char *text, size_t len, struct buf *problems)
{
	const char *names[SIM_DATACENTERS_MAX];
	struct script_context context = {
	        .datacenters = names,
	        .n_datacenters = sim->n_datacenters,
	        .is_fixed = true,
	        .is_live = true,
	};
	struct script *script;
	int r;

	if (sim->n_later == SIM_LATER_MAX) {
		buf_addf(problems, "at most %d additions; POST /reset drops them\n", SIM_LATER_MAX);
		return SCRIPT_E_INVALID;
	}
	for (size_t i = 0; i < sim->n_datacenters; i++)
		names[i] = sim->datacenters[i].name;
	r = script_parse(text, len, "body", &context, &script, problems);
	if (r != 0)
		return r;
	sim->later = mem_resize(sim->later, sim->n_later + 1, sizeof(struct script *));
	sim->later[sim->n_later++] = script;
	for (size_t i = 0; i < script->n_jobs; i++) {
		const struct script_job *job = &script->jobs[i];
		struct datacenter *dc = job->dc ? sim_datacenter(sim, job->dc) : NULL;

		lives_forget(sim->lives, &job->ids, dc ? dc->index : -1);
	}
	sim_refuse_at_once(sim, script);
	return 0;
}

void sim_reset(struct sim *sim)
{
	lives_clear(sim->lives);
	tokens_clear(sim->tokens);
	while (sim->n_later > 0)
		script_free(sim->later[--sim->n_later]);
	for (size_t i = 0; i < sim->script->n_faults; i++)
		fault_reset(&sim->script->faults[i]);
	for (size_t i = 0; i < sim->n_orgs; i++)
		org_reset(&sim->orgs[i]);
	for (size_t i = 0; i < sim->n_datacenters; i++) {
		struct datacenter *dc = &sim->datacenters[i];

		evtimer_del(dc->accept_again);
		on_accept_again(-1, 0, dc);
		server_reset_stats(dc->server);
		org_reset(&dc->own);
		memset(dc->n_status, 0, sizeof(dc->n_status));
		dc->n_unanswered = dc->n_token_requests = 0;
	}
	sim_refuse_at_once(sim, sim->script);
}

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
	(void)signo;
	(void)what;
	sim_stop(arg);
}

void sim_stop(struct sim *sim)
{
	event_base_loopbreak(sim->base);
}

int sim_run(struct sim *sim)
{
	struct event *term = evsignal_new(sim->base, SIGTERM, on_signal, sim);
	struct event *interrupt = evsignal_new(sim->base, SIGINT, on_signal, sim);
	int r = term && interrupt && event_add(term, NULL) == 0 && event_add(interrupt, NULL) == 0
	                ? 0
	                : -ENOMEM;

	if (r == 0 && event_base_dispatch(sim->base) < 0)
		r = -EIO;
	if (term)
		event_free(term);
	if (interrupt)
		event_free(interrupt);
	return r;
}

/* Thousands of connections at once: as many descriptors as we may have. */
static uint32_t sim_max_connections(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1024 - SIM_FILES_KEPT;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur <= SIM_FILES_KEPT * 2UL)
		return SIM_FILES_KEPT;
	return (uint32_t)(limit.rlim_cur > 1000000 ? 1000000 : limit.rlim_cur) - SIM_FILES_KEPT;
}

static int sim_open_datacenter(struct sim *sim, size_t i, const char *name, uint16_t port,
        const struct script_datacenter *said)
{
	struct datacenter *dc = &sim->datacenters[i];
	int r;

	dc->sim = sim;
	dc->index = (uint16_t)i;
	dc->name = mem_strdup(name);
	if (said)
		dc->latency = said->latency;
	org_init(&dc->own, name, said ? said->credits_per_day : 0, said ? said->concurrency : 0);
	dc->accept_again = evtimer_new(sim->base, on_accept_again, dc);
	if (!dc->accept_again)
		return -ENOMEM;
	r = server_new(sim->base,
	        port   ? port
	        : said ? (uint16_t)said->port
	               : 0,
	        sim->tls, sim->max_connections, api_on_request, dc, &dc->server);
	if (r < 0)
		return r;
	dc->url = sim->tls ? mem_printf("https://localhost:%u", server_port(dc->server))
	                   : mem_printf("http://127.0.0.1:%u", server_port(dc->server));
	return 0;
}

static const struct script_datacenter *script_datacenter(
        const struct script *script, const char *name)
{
	for (size_t i = 0; i < script->n_datacenters; i++) {
		if (strcmp(script->datacenters[i].name, name) == 0)
			return &script->datacenters[i];
	}
	return NULL;
}

/* The data centers that the options name; else the six and the script's further ones. */
static size_t sim_list_datacenters(const struct sim_options *options, const struct script *script,
        struct sim_datacenter_option list[SIM_DATACENTERS_MAX])
{
	size_t n = 0;

	if (options->n_datacenters > 0) {
		memcpy(list, options->datacenters, options->n_datacenters * sizeof(*list));
		return options->n_datacenters;
	}
	for (; n < ARRAY_LEN(sim_names); n++)
		list[n] = (struct sim_datacenter_option){.name = sim_names[n]};
	for (size_t i = 0; script && i < script->n_datacenters && n < SIM_DATACENTERS_MAX; i++) {
		bool is_new = true;

		for (size_t k = 0; k < n; k++)
			is_new = is_new && strcmp(list[k].name, script->datacenters[i].name) != 0;
		if (is_new)
			list[n++].name = script->datacenters[i].name;
	}
	return n;
}

static int sim_load_script(struct sim *sim, const struct sim_options *options, struct buf *problems)
{
	struct sim_datacenter_option list[SIM_DATACENTERS_MAX] = {0};
	const char *names[SIM_DATACENTERS_MAX];
	struct script_context context = {
	        .datacenters = names,
	        .n_datacenters = sim_list_datacenters(options, NULL, list),
	        .is_fixed = options->n_datacenters > 0,
	};

	if (!options->script_file) {
		sim->script = MEM_NEW(struct script);
		return 0;
	}
	for (size_t i = 0; i < context.n_datacenters; i++)
		names[i] = list[i].name;
	return script_load(options->script_file, &context, &sim->script, problems);
}

static int sim_listen(struct sim *sim, const struct sim_options *options, struct buf *problems)
{
	struct sim_datacenter_option list[SIM_DATACENTERS_MAX] = {0};
	size_t n = sim_list_datacenters(options, sim->script, list);
	int r = 0;

	sim->datacenters = mem_new(n, sizeof(*sim->datacenters));
	for (size_t i = 0; i < n && r == 0; i++) {
		sim->n_datacenters = i + 1;
		r = sim_open_datacenter(sim, i, list[i].name, list[i].port,
		        script_datacenter(sim->script, list[i].name));
		if (r < 0)
			buf_addf(problems, "%s cannot listen: %s\n", list[i].name, err_text(r));
	}
	if (r == 0 && options->has_admin) {
		r = server_new(sim->base, 0, NULL, SIM_ADMIN_CONNECTIONS_MAX, admin_on_request, sim,
		        &sim->admin);
		if (r < 0)
			buf_addf(problems, "the admin port cannot listen: %s\n", err_text(r));
	}
	return r;
}

static int sim_open_tls(struct sim *sim, const struct sim_options *options, struct buf *problems)
{
	char *why = NULL;
	int r;

	if (!options->cert_file)
		return 0;
	r = tls_context_new(options->cert_file, options->key_file, &sim->tls, &why);
	if (r < 0)
		buf_addf(problems, "%s\n", why);
	free(why);
	return r;
}

static void sim_open_memory(struct sim *sim, const struct sim_options *options)
{
	const struct script *script = sim->script;

	rng_seed(&sim->rng, options->seed);
	sim->lives = lives_new(options->seed, options->speed);
	sim->tokens = tokens_new(script, options->seed);
	sim->orgs = mem_new(script->n_organisations, sizeof(*sim->orgs));
	sim->n_orgs = script->n_organisations;
	for (size_t i = 0; i < sim->n_orgs; i++)
		org_init(&sim->orgs[i], script->organisations[i].name,
		        script->organisations[i].credits_per_day,
		        script->organisations[i].concurrency);
}

int sim_new(const struct sim_options *options, struct sim **out, struct buf *problems)
{
	struct sim *sim = MEM_NEW(struct sim);
	int r;

	*out = NULL;
	sim->base = event_base_new();
	sim->started_mono_ms = clock_now().mono_ms;
	sim->max_connections = sim_max_connections();
	r = sim->base ? sim_load_script(sim, options, problems) : -ENOMEM;
	if (r == 0)
		r = sim_open_tls(sim, options, problems);
	if (r == 0) {
		sim_open_memory(sim, options);
		r = request_log_open(options->log_file, options->has_admin, &sim->log);
		if (r < 0)
			buf_addf(problems, "%s: %s\n", options->log_file, err_text(r));
	}
	if (r == 0)
		r = sim_listen(sim, options, problems);
	if (r != 0) {
		sim_free(sim);
		return r;
	}
	sim_refuse_at_once(sim, sim->script);
	*out = sim;
	return 0;
}

struct sim *sim_free(struct sim *sim)
{
	if (!sim)
		return NULL;
	server_free(sim->admin);
	for (size_t i = 0; i < sim->n_datacenters; i++) {
		struct datacenter *dc = &sim->datacenters[i];

		server_free(dc->server);
		if (dc->accept_again)
			event_free(dc->accept_again);
		org_deinit(&dc->own);
		free(dc->name);
		free(dc->url);
	}
	free(sim->datacenters);
	request_log_close(sim->log);
	for (size_t i = 0; i < sim->n_orgs; i++)
		org_deinit(&sim->orgs[i]);
	free(sim->orgs);
	tokens_free(sim->tokens);
	lives_free(sim->lives);
	for (size_t i = 0; i < sim->n_later; i++)
		script_free(sim->later[i]);
	free(sim->later);
	script_free(sim->script);
	SSL_CTX_free(sim->tls);
	if (sim->base)
		event_base_free(sim->base);
	free(sim);
	return NULL;
}
