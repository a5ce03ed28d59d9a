/*
 * Any bytes as what a client sends to the sockets of the whole daemon, real evhttp, real routes and
 * real database included. The first byte chooses the socket and how the bytes come. Whatever they
 * are: the daemon goes on, says no secret and no 500, its JSON is JSON, query.sock changes nothing,
 * and once the client is gone nothing of it is left.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuzz.h"
#include "util/buf.h"
#include "util/mem.h"
#include "wholekit.h"
#include "wire/json.h"

/* Bits of the first byte, below '@'. */
enum {
	IS_ADMIN = 1,     /* else query.sock */
	SMALL_PIECES = 2, /* in pieces of 7 bytes, a turn each */
	TINY_PIECES = 4,  /* of one byte */
	HALF_CLOSES = 8,  /* says that nothing more will come, and reads on */
	READS_NOTHING = 16,
	IS_PAIRED = 32, /* what follows two bytes of 0xff goes over a second connection */
};

enum {
	INPUT_MAX_BYTES = 256 * 1024,
	PIECES_MAX = 100, /* what is left comes in one */
	QUIET_TURNS = 5,
	SEEING_OFF_TURNS = 100, /* after so many the clock goes on by */
	SEEING_OFF_MS = 1000,
	OUTPUT_MAX_BYTES = 8 * 1024 * 1024,
	CLIENTS = 2,
};

struct client {
	int fd; /* -1 = none, or done */
	struct fuzz_piece input;
	size_t n_pieces;
	bool is_closed; /* by the daemon */
	struct buf output;
};

struct visit {
	struct wholekit *kit;
	uint8_t flags;
	struct client clients[CLIENTS];
	unsigned n_quiet;
};

/* ---- a client ---- */

static int open_socket(const struct wholekit *kit, bool is_admin)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s.sock", kit->dir,
	        is_admin ? "admin" : "query");
	must(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

static bool client_send(struct client *client, uint8_t flags)
{
	size_t len = flags & TINY_PIECES ? 1 : flags & SMALL_PIECES ? 7 : SIZE_MAX;

	if (client->fd < 0 || client->input.len == 0)
		return false;
	if (len > client->input.len || client->n_pieces++ >= PIECES_MAX)
		len = client->input.len;
	ssize_t n = send(client->fd, client->input.bytes, len, MSG_NOSIGNAL);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < 0)
		n = (ssize_t)client->input.len; /* it was hung up on */
	client->input.bytes += n;
	client->input.len -= (size_t)n;
	if (client->input.len == 0 && flags & HALF_CLOSES)
		shutdown(client->fd, SHUT_WR);
	return true;
}

static bool client_receive(struct client *client)
{
	char bytes[64 * 1024];

	if (client->fd < 0 || client->is_closed)
		return false;
	ssize_t n = recv(client->fd, bytes, sizeof(bytes), 0);

	if (n < 0 && errno == EAGAIN)
		return false;
	client->is_closed = n <= 0;
	if (n > 0)
		buf_add(&client->output, bytes, (size_t)n);
	/* A stream of all events, and a copy of the database, have an end. */
	must(client->output.len < OUTPUT_MAX_BYTES);
	return true;
}

static bool visit_goes_on(void *arg)
{
	struct visit *visit = arg;
	bool is_busy = wholekit_is_busy(visit->kit);

	for (size_t i = 0; i < CLIENTS; i++) {
		is_busy |= client_send(&visit->clients[i], visit->flags);
		if (!(visit->flags & READS_NOTHING))
			is_busy |= client_receive(&visit->clients[i]);
	}
	visit->n_quiet = is_busy ? 0 : visit->n_quiet + 1;
	return visit->n_quiet < QUIET_TURNS;
}

/*
 * With no client left, every connection's end is seen: at once, or, where bytes wait behind a
 * request that is held, by the next look of a timer.
 */
static bool visit_is_seen_off(void *arg)
{
	struct visit *visit = arg;
	const struct daemon *daemon = visit->kit->daemon;

	if (++visit->n_quiet % SEEING_OFF_TURNS == 0)
		wholekit_wait(SEEING_OFF_MS);
	return listen_group_clients(daemon->group) > 0 ||
	       listen_group_clients(daemon->admin_group) > 0 || wholekit_is_busy(visit->kit);
}

/* ---- what came back ---- */

/* The value of a header in a head that ends with an empty line; NULL if there is none. */
static const char *header(const char *head, const char *name)
{
	const char *line = strstr(head, "\r\n");

	for (; line && strncmp(line, "\r\n\r\n", 4) != 0; line = strstr(line + 2, "\r\n")) {
		if (strncasecmp(line + 2, name, strlen(name)) == 0)
			return line + 2 + strlen(name);
	}
	return NULL;
}

/* The first answer; those behind it are as good. */
static void check_answer(const char *text, size_t len)
{
	const char *end = strstr(text, "\r\n\r\n");
	const char *length, *type;
	struct json *json;

	/* The version is the client's own, whatever it was. */
	must(strncmp(text, "HTTP/", 5) == 0 && strchr(text, ' '));
	must(strncmp(strchr(text, ' '), " 500 ", 5) != 0);
	if (!end)
		return;
	length = header(text, "Content-Length: ");
	type = header(text, "Content-Type: ");
	if (!length || !type || !strstr(type, "json") || strstr(type, "json") > strchr(type, '\r'))
		return;
	size_t body_len = strtoul(length, NULL, 10);

	end += 4;
	/* Of a HEAD, with the next answer behind it or without one; or cut by the client. */
	if (strncmp(end, "HTTP/", 5) == 0 || len - (size_t)(end - text) < body_len)
		return;
	must(json_parse(end, body_len, SIZE_MAX, &json) == JSON_OK);
	json_free(json);
}

static void check_client(const struct client *client)
{
	const struct buf *output = &client->output;

	if (output->len == 0)
		return;
	must(!memmem(output->data, output->len, wholekit_token, strlen(wholekit_token)));
	check_answer(buf_str(output), output->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || size > INPUT_MAX_BYTES)
		return 0;
	struct visit visit = {.kit = wholekit_get(), .flags = data[0]};
	struct fuzz_piece rest = {(const char *)data + 1, size - 1};
	bool is_paired = visit.flags & IS_PAIRED;

	for (size_t i = 0; i < CLIENTS; i++) {
		struct client *client = &visit.clients[i];

		client->fd =
		        i == 0 || is_paired ? open_socket(visit.kit, visit.flags & IS_ADMIN) : -1;
		client->input = is_paired ? fuzz_piece_next(&rest) : rest;
	}
	wholekit_run(visit.kit, visit_goes_on, &visit);
	for (size_t i = 0; i < CLIENTS; i++)
		mem_close_p(&visit.clients[i].fd);
	visit.n_quiet = 0;
	wholekit_run(visit.kit, visit_is_seen_off, &visit);
	for (size_t i = 0; i < CLIENTS; i++) {
		check_client(&visit.clients[i]);
		buf_deinit(&visit.clients[i].output);
	}
	must(visit.flags & IS_ADMIN || visit.kit->n_commits == 0);
	return 0;
}
