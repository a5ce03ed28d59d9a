/* The configuration, the tokens and the keys, as files. */
#include "scenario.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "receivers.h"
#include "util/buf.h"
#include "util/mem.h"
#include "world.h"

enum { PLENTY_OF_CREDITS = 1000 * 1000 };

static void write_file(const char *path, const char *bytes, size_t len)
{
	cleanup(mem_free_p) char *temporary = mem_printf("%s.new", path);
	FILE *file = fopen(temporary, "w");

	/* A new inode each time: two writes within one tick of the clock are still told apart. */
	if (!file || fchmod(fileno(file), 0600) != 0 || fwrite(bytes, 1, len, file) != len ||
	        fclose(file) != 0 || rename(temporary, path) != 0) {
		perror(path);
		exit(1);
	}
}

void scenario_write_token(int account)
{
	const struct world_account *a = &world->accounts[account];
	cleanup(mem_free_p) char *text =
	        mem_printf("1000." WORLD_CANARY ".%s.%d\n", a->name, a->n_written);
	cleanup(mem_free_p) char *path = mem_printf("%s/%s.token", world->dir, a->name);
	cleanup(mem_free_p) char *other = mem_printf("%s/%s.other", world->dir, a->name);

	write_file(path, text, strlen(text));
	write_file(other, text, strlen(text));
}

void scenario_write_secrets(int number)
{
	const struct world_grant *grant = &world->grants[number];
	cleanup(mem_free_p) char *secret = mem_printf(WORLD_CANARY ".c%d\n", number);
	cleanup(mem_free_p) char *refresh =
	        mem_printf("1000." WORLD_CANARY ".r%d.%d\n", number, grant->secret);
	cleanup(mem_free_p) char *secret_path = mem_printf("%s/g%d.secret", world->dir, number);
	cleanup(mem_free_p) char *refresh_path = mem_printf("%s/g%d.refresh", world->dir, number);

	write_file(secret_path, secret, strlen(secret));
	write_file(refresh_path, refresh, strlen(refresh));
}

void scenario_write_keys(int number)
{
	const struct world_hook *hook = &world->hooks[number];
	cleanup(mem_free_p) char *path = mem_printf("%s/%s.keys", world->dir, hook->name);
	cleanup(buf_deinit) struct buf text = {0};

	if (!hook->is_signed)
		return;
	if (hook->is_key_spoilt)
		buf_adds(&text, "whsec_" WORLD_CANARY "!\n");
	for (int i = 0; i < 2 && i <= hook->key && !hook->is_key_spoilt; i++) {
		cleanup(mem_free_p) char *key = receivers_key(number, hook->key - i);

		buf_addf(&text, "%s\n", key);
	}
	write_file(path, text.data, text.len);
}

char *scenario_config_path(void)
{
	return mem_printf("%s/bulkwatchd.yaml", world->dir);
}

bool scenario_has_job(int variant, int job)
{
	return !world->jobs[job].is_by_socket && !(world->jobs[job].absent_in >> variant & 1);
}

static bool has_hook(int variant, size_t hook)
{
	return !(world->hooks[hook].absent_in >> variant & 1);
}

static uint8_t configured_hooks(int variant)
{
	uint8_t set = 0;

	for (size_t i = 0; i < world->n_hooks; i++)
		set |= (uint8_t)(has_hook(variant, i) << i);
	return set;
}

uint8_t scenario_hooks(int variant, int job, enum event_type type)
{
	uint8_t set = configured_hooks(variant);

	if (job != WORLD_NO_JOB && world->jobs[job].hooks && type != EVENT_HOOK_DEAD)
		set &= world->jobs[job].hooks;
	for (size_t i = 0; i < world->n_hooks; i++) {
		if (!event_set_has(world->hooks[i].on, type))
			set &= (uint8_t) ~(1u << i);
	}
	return set;
}

static void write_hook_names(struct buf *out, uint8_t set)
{
	const char *comma = "";

	buf_adds(out, "[");
	for (size_t i = 0; i < world->n_hooks; i++) {
		if (!(set >> i & 1))
			continue;
		buf_addf(out, "%s%s", comma, world->hooks[i].name);
		comma = ", ";
	}
	buf_adds(out, "]");
}

static void write_account(struct buf *out, int variant, size_t i)
{
	const struct world_account *account = &world->accounts[i];
	bool has_job = false;

	buf_addf(out,
	        "  %s:\n    datacenter: %s\n    service: %s\n    max_in_flight: %d\n"
	        "    poll: {min_interval: %" PRId64 "ms, max_interval: %" PRId64 "ms}\n",
	        account->name, world->datacenters[account->datacenter].name,
	        account->is_of_crm ? "crm" : "bigin", account->max_in_flight[variant],
	        account->min_interval_ms[variant], account->max_interval_ms[variant]);
	if (account->grant < 0)
		buf_addf(out, "    access_token_file: %s.%s\n", account->name,
		        account->has_other_file[variant] ? "other" : "token");
	else
		buf_addf(out,
		        "    client_id: client-%d\n    client_secret_file: g%d.secret\n"
		        "    refresh_token_file: g%d.refresh\n",
		        account->grant, account->grant, account->grant);
	buf_addf(out, "    credits_per_day: %d\n",
	        account->credits ? account->credits : PLENTY_OF_CREDITS);
	for (int32_t next = account->first_job; next; next = world->jobs[next - 1].next_job) {
		int k = next - 1;
		const struct world_job *job = &world->jobs[k];
		uint8_t hooks = job->hooks & configured_hooks(variant);

		if (!scenario_has_job(variant, k))
			continue;
		buf_adds(out, has_job ? "" : "    jobs:\n");
		has_job = true;
		if (!job->hooks) {
			buf_addf(out, "      - %s\n", job->id);
			continue;
		}
		buf_addf(out, "      - {id: %s, name: job-%d, hooks: ", job->id, k);
		write_hook_names(out, hooks);
		buf_adds(out, "}\n");
	}
}

static void write_hook(struct buf *out, int variant, size_t i)
{
	const struct world_hook *hook = &world->hooks[i];
	const char *comma = "";

	buf_addf(out, "  %s:\n", hook->name);
	if (hook->is_webhook) {
		cleanup(mem_free_p) char *url = receivers_url((int)i, variant);

		buf_addf(out, "    url: '%s'\n", url);
	} else {
		buf_adds(out, "    exec: [/bin/true]\n");
	}
	if (hook->is_signed)
		buf_addf(out, "    secret_file: %s.keys\n", hook->name);
	buf_addf(out,
	        "    attempts: %d\n    timeout: %" PRId64
	        "ms\n    retry_max: %dms\n    parallel: %d\n    on: [",
	        hook->attempts, hook->timeout_ms, WORLD_RETRY_MAX_MS, hook->parallel);
	for (int type = EVENT_NONE + 1; type < EVENT_TYPES; type++) {
		if (!event_set_has(hook->on, (enum event_type)type))
			continue;
		buf_addf(out, "%s%s", comma, event_type_name((enum event_type)type));
		comma = ", ";
	}
	buf_adds(out, "]\n");
}

void scenario_write_config(int variant)
{
	cleanup(mem_free_p) char *path = scenario_config_path();
	cleanup(buf_deinit) struct buf out = {0};
	int v = variant < 0 ? 0 : variant;

	buf_addf(&out, "state_dir: %s\nruntime_dir: %s/run\nlog_level: debug\n%s", world->dir,
	        world->dir, variant < 0 ? "no_such_key: 1\n" : "");
	if (world->retain_ms)
		buf_addf(&out, "retain: %" PRId64 "ms\n", world->retain_ms);
	buf_adds(&out, "datacenters:\n");
	for (size_t i = 0; i < world->n_datacenters; i++)
		buf_addf(&out, "  %s: {api_url: '%s', accounts_url: '%s'}\n",
		        world->datacenters[i].name, world->datacenters[i].url,
		        world->datacenters[i].url);
	buf_adds(&out, "accounts:\n");
	for (size_t i = 0; i < world->n_accounts; i++)
		write_account(&out, v, i);
	buf_adds(&out, "hooks:\n");
	for (size_t i = 0; i < world->n_hooks; i++) {
		if (has_hook(v, i))
			write_hook(&out, v, i);
	}
	write_file(path, out.data, out.len);
}
