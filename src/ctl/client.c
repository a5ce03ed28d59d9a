#include "ctl/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/mem.h"
#include "util/str.h"

struct client {
	CURL *easy;
	char *path; /* of the socket */
	enum client_socket socket;
	char error[CURL_ERROR_SIZE];
};

/* One request under way. */
struct transfer {
	struct client *client;
	const struct client_request *request;
	struct answer *answer;
	bool is_too_big;
	bool is_ended; /* by the sink */
};

void answer_deinit(struct answer *answer)
{
	buf_deinit(&answer->body);
}

void client_add_encoded(struct buf *path, const char *text)
{
	for (const char *p = text; *p; p++) {
		bool is_plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
		                (*p >= '0' && *p <= '9') || strchr("-._~", *p);

		if (is_plain)
			buf_addc(path, *p);
		else
			buf_addf(path, "%%%02X", (unsigned)(unsigned char)*p);
	}
}

static size_t client_on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
	struct transfer *transfer = arg;
	struct buf *body = &transfer->answer->body;
	size_t len = size * n;
	long status = 0;

	curl_easy_getinfo(transfer->client->easy, CURLINFO_RESPONSE_CODE, &status);
	if (transfer->request->sink && status == 200) {
		transfer->is_ended =
		        !transfer->request->sink(transfer->request->sink_arg, bytes, len);
		return transfer->is_ended ? CURL_WRITEFUNC_ERROR : len;
	}
	if (len > ANSWER_MAX_BYTES - body->len) {
		transfer->is_too_big = true;
		return CURL_WRITEFUNC_ERROR;
	}
	buf_add(body, bytes, len);
	return len;
}

static bool client_path_fits(const struct client *client)
{
	struct sockaddr_un address;

	return strlen(client->path) < sizeof(address.sun_path);
}

struct client *client_new(const struct ctl *ctl, enum client_socket socket)
{
	struct client *client = MEM_NEW(struct client);

	client->socket = socket;
	client->path = mem_printf(
	        "%s/%s", ctl->runtime_dir, socket == SOCKET_ADMIN ? "admin.sock" : "query.sock");
	if (!client_path_fits(client)) {
		ctl_say("the path of the socket is too long for a Unix socket (%zu bytes at most): "
		        "%s",
		        sizeof(((struct sockaddr_un *)0)->sun_path) - 1, client->path);
		return client_free(client);
	}
	client->easy = curl_easy_init();
	if (!client->easy) {
		ctl_say("libcurl does not start");
		return client_free(client);
	}
	return client;
}

struct client *client_free(struct client *client)
{
	if (!client)
		return NULL;
	curl_easy_cleanup(client->easy);
	free(client->path);
	free(client);
	return NULL;
}

void client_free_p(struct client **client)
{
	*client = client_free(*client);
}

static void client_set_common(struct client *client, struct transfer *transfer)
{
	CURL *easy = client->easy;

	/* Keeps the connection, drops the options of the request before. */
	curl_easy_reset(easy);
	client->error[0] = '\0';
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, client->error);
	curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, client->path);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "bulkwatch/" BULKWATCH_VERSION);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CLIENT_CONNECT_MS);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, client_on_bytes);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
}

static int client_on_progress(
        void *arg, curl_off_t down_all, curl_off_t down, curl_off_t up_all, curl_off_t up)
{
	const struct client_request *request = arg;

	(void)down_all, (void)down, (void)up_all, (void)up;
	request->on_tick(request->tick_arg);
	return 0;
}

static void client_set_times(struct client *client, const struct client_request *request)
{
	int64_t timeout_ms = request->timeout_ms;

	if (!timeout_ms && !request->sink)
		timeout_ms = CLIENT_TIMEOUT_MS;
	if (timeout_ms)
		curl_easy_setopt(client->easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
	if (request->sink) {
		curl_easy_setopt(client->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(client->easy, CURLOPT_LOW_SPEED_TIME,
		        (long)(request->silence_s ? request->silence_s : CLIENT_SILENCE_S));
	}
	if (request->on_tick) {
		curl_easy_setopt(client->easy, CURLOPT_NOPROGRESS, 0L);
		curl_easy_setopt(client->easy, CURLOPT_XFERINFOFUNCTION, client_on_progress);
		curl_easy_setopt(client->easy, CURLOPT_XFERINFODATA, (void *)(uintptr_t)request);
	}
}

static struct curl_slist *client_set_request(
        struct client *client, const struct client_request *request, const char *url)
{
	CURL *easy = client->easy;
	struct curl_slist *headers = NULL;

	curl_easy_setopt(easy, CURLOPT_URL, url);
	if (request->method)
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
	if (request->body || str_is_equal(request->method, "POST")) {
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body ? request->body : "");
		headers = curl_slist_append(headers,
		        request->body ? "Content-Type: application/json" : "Content-Type:");
		headers = curl_slist_append(headers, "Expect:");
		curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	}
	client_set_times(client, request);
	return headers;
}

/* Why connect(2) does not work: libcurl does not hand out the errno of Unix sockets reliably. */
static int client_connect_error(const struct client *client)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup(mem_close_p) int fd =
	        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return errno;
	str_copy(address.sun_path, sizeof(address.sun_path), client->path);
	return connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
}

static void client_say_group(const struct client *client, const struct stat *st)
{
	const struct group *group = getgrgid(st->st_gid);
	const struct passwd *user = getpwuid(st->st_uid);
	cleanup(mem_free_p) char *owner =
	        user ? mem_strdup(user->pw_name) : mem_printf("uid %u", (unsigned)st->st_uid);

	if (client->socket == SOCKET_ADMIN)
		ctl_say("changes are for the daemon's own user alone: run it as %s%s "
		        "(sudo bulkwatch ...)",
		        owner, st->st_uid == 0 ? "" : " or as root");
	else if (group)
		ctl_say("reading is for members of the group %s: sudo usermod -aG %s USER, then "
		        "log in anew",
		        group->gr_name, group->gr_name);
	else
		ctl_say("reading is for members of the group with the number %u",
		        (unsigned)st->st_gid);
}

/* The socket itself may be hidden by its directory's mode: then the directory tells the group. */
static int client_say_not_permitted(const struct client *client)
{
	cleanup(mem_free_p) char *dir = mem_strdup(client->path);
	struct stat st;

	*strrchr(dir, '/') = '\0';
	ctl_say("not permitted to open %s", client->path);
	if (stat(client->path, &st) == 0 || stat(*dir ? dir : "/", &st) == 0)
		client_say_group(client, &st);
	return CTL_NOT_PERMITTED;
}

static int client_say_unreachable(const struct client *client)
{
	int error = client_connect_error(client);

	if (error == EACCES || error == EPERM)
		return client_say_not_permitted(client);
	if (error == ENOENT || error == ENOTDIR)
		ctl_say("the daemon is not running here: there is no socket %s", client->path);
	else if (error == ECONNREFUSED)
		ctl_say("the daemon is not running: nobody answers at %s", client->path);
	else
		ctl_say("the daemon is not reachable at %s: %s", client->path,
		        error ? strerrordesc_np(error) : client->error);
	ctl_say("start it with \"systemctl start bulkwatchd\"; for a daemon with another "
	        "runtime_dir give --runtime-dir DIR or set $BULKWATCH_RUNTIME_DIR");
	return CTL_UNREACHABLE;
}

static int client_say_failure(const struct client *client, CURLcode code)
{
	const char *words = client->error[0] ? client->error : curl_easy_strerror(code);

	if (code == CURLE_COULDNT_CONNECT)
		return client_say_unreachable(client);
	if (code == CURLE_OPERATION_TIMEDOUT)
		ctl_say("the daemon does not answer in time at %s", client->path);
	else
		ctl_say("the daemon's answer broke off at %s: %s", client->path, words);
	return CTL_UNREACHABLE;
}

int client_ask(struct client *client, const struct client_request *request, struct answer *answer)
{
	struct transfer transfer = {.client = client, .request = request, .answer = answer};
	cleanup(mem_free_p) char *url = mem_printf("http://localhost%s", request->path);
	struct curl_slist *headers;
	long status = 0;
	CURLcode code;

	buf_clear(&answer->body);
	client_set_common(client, &transfer);
	headers = client_set_request(client, request, url);
	code = curl_easy_perform(client->easy);
	curl_slist_free_all(headers);
	curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &status);
	answer->status = (int)status;
	if (code == CURLE_OK || transfer.is_ended)
		return CTL_OK;
	if (transfer.is_too_big) {
		ctl_say("the daemon's answer is longer than %d MiB", ANSWER_MAX_BYTES >> 20);
		return CTL_OTHER;
	}
	if (code == CURLE_OPERATION_TIMEDOUT && request->sink && request->timeout_ms)
		return CTL_TIMED_OUT;
	if (request->is_quiet || (request->may_break_off && status == 200))
		return CTL_UNREACHABLE;
	return client_say_failure(client, code);
}
