/* The sockets: their directory's lock, their modes, how many clients they take, and figures over
 * TCP and in a file. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>

#include "daemon/daemon_private.h"
#include "util/err.h"
#include "util/log.h"
#include "util/mem.h"

enum {
	ADMIN_CLIENTS = 32, /* beside max_clients */
	/* Descriptors kept from clients: database, logs, DNS, pipes of hooks, connections to Zoho.
	 */
	RESERVED_DESCRIPTORS = 512,
};

/* Whoever holds the lock may unlink stale sockets. It is never unlinked itself. */
int doors_lock(struct daemon *daemon)
{
	cleanup(mem_free_p) char *path = mem_printf("%s/sockets.lock", daemon->config->runtime_dir);

	daemon->runtime_lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = daemon->runtime_lock < 0 ? -errno : 0;

	if (r == 0 && flock(daemon->runtime_lock, LOCK_EX | LOCK_NB) < 0)
		r = -errno;
	if (r == 0)
		return 0;
	if (r != -EWOULDBLOCK) {
		log_error("runtime directory %s: %s", daemon->config->runtime_dir, err_text(r));
		return daemon_start_code(r);
	}
	log_error("runtime directory %s: another instance holds it", daemon->config->runtime_dir);
	return DAEMON_BUSY;
}

/* A socket of this name that the service manager opened is taken over; else one is made. */
static int listen_on(struct daemon *daemon, struct listen_group *group, const char *name,
        mode_t mode, listen_request_fn *fn, struct listen **out)
{
	cleanup(mem_free_p) char *path =
	        mem_printf("%s/%s.sock", daemon->config->runtime_dir, name);
	char words[512] = "";
	int fd = notify_socket(&daemon->sockets, name);
	int r = fd >= 0 ? listen_fd_new(group, fd, fn, daemon->control, out)
	                : listen_unix_new(group, path, mode, fn, daemon->control, out, words,
	                          sizeof(words));

	if (r == 0)
		return 0;
	log_error("socket %s: %s", path, words[0] ? words : err_text(r));
	return r == LISTEN_E_BUSY ? DAEMON_BUSY : daemon_start_code(r);
}

static int max_clients(const struct config *config)
{
	struct rlimit limit;
	int64_t max = config->max_clients;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return (int)max;
	int64_t descriptors = (int64_t)limit.rlim_cur;
	int64_t room = descriptors > INT64_C(2) * RESERVED_DESCRIPTORS
	                       ? descriptors - RESERVED_DESCRIPTORS
	                       : descriptors / 4;

	if (room >= max)
		return (int)max;
	log_warning("RLIMIT_NOFILE is %" PRId64 ": at most %" PRId64 " clients instead of %" PRId64,
	        descriptors, room, max);
	return (int)(room > 1 ? room : 1);
}

/* It passes by the sockets' permissions, so it is off unless somebody wants it. */
static int listen_for_metrics(struct daemon *daemon)
{
	const char *text = daemon->config->metrics_listen;
	char address[CONFIG_ADDRESS_SIZE];
	uint16_t port;
	int r;

	if (!text || !config_split_address(text, address, &port))
		return 0;
	r = listen_tcp_new(
	        daemon->group, address, port, control_on_metrics, daemon->control, &daemon->tcp);
	if (r == 0)
		return 0;
	log_error("metrics_listen %s: %s", text, err_text(r));
	return r == -EADDRINUSE ? DAEMON_BUSY : daemon_start_code(r);
}

static void write_metrics(void *arg, struct buf *out)
{
	control_write_metrics(arg, out);
}

int doors_open(struct daemon *daemon)
{
	struct now now = loop_now(daemon->loop);
	struct control_context context = {
	        .loop = daemon->loop,
	        .tracker = &daemon->tracker,
	        .poller = daemon->poller,
	        .hooks = daemon->hooks,
	        .config = &daemon->config,
	        .config_file = daemon->config_file,
	        .state_dir = daemon->state_dir,
	        .started_wall_ms = now.wall_ms,
	        .started_mono_ms = now.mono_ms,
	        .reload = reload_config,
	        .reload_arg = daemon,
	};
	int r = listen_group_new(daemon->loop, max_clients(daemon->config), &daemon->group);

	/* Places of its own: no number of readers may lock an administrator out. */
	if (!r)
		r = listen_group_new(daemon->loop, ADMIN_CLIENTS, &daemon->admin_group);

	daemon->metrics.reloaded_wall_ms = now.wall_ms;
	context.group = daemon->group;
	context.metrics = &daemon->metrics;
	daemon->control = control_new(&context);
	if (r < 0) {
		log_error("sockets: %s", err_text(r));
		return DAEMON_INTERNAL;
	}
	r = listen_on(daemon, daemon->group, "query", 0660, control_on_query, &daemon->query);
	if (!r)
		r = listen_on(daemon, daemon->admin_group, "admin", 0600, control_on_admin,
		        &daemon->admin);
	if (!r)
		r = listen_for_metrics(daemon);
	daemon->textfile = textfile_new(daemon->loop, write_metrics, daemon->control);
	if (!r)
		textfile_set(daemon->textfile, daemon->config->metrics_textfile);
	if (notify_drop_sockets(&daemon->sockets) > 0)
		log_warning("sockets were handed over that are named neither query nor admin: "
		            "closed");
	return r;
}

void doors_close(struct daemon *daemon)
{
	textfile_free(daemon->textfile);
	listen_free(daemon->tcp);
	listen_free(daemon->admin);
	listen_free(daemon->query);
	listen_group_free(daemon->admin_group);
	listen_group_free(daemon->group);
}
