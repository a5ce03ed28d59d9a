#include "rawclient.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/mem.h"

void rawclient_open(struct rawclient *client, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	*client = (struct rawclient){0};
	ck_assert_uint_lt(strlen(path), sizeof(address.sun_path));
	strcpy(address.sun_path, path);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(client->fd, 0);
	ck_assert_int_eq(
	        connect(client->fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(fcntl(client->fd, F_SETFL, O_NONBLOCK), 0);
}

void rawclient_close(struct rawclient *client)
{
	close(client->fd);
	buf_deinit(&client->got);
}

void rawclient_say(struct rawclient *client, const char *text)
{
	ck_assert_int_eq(send(client->fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

void rawclient_get(struct rawclient *client, const char *path)
{
	cleanup(mem_free_p) char *text =
	        mem_printf("GET %s HTTP/1.1\r\nHost: localhost\r\nX-Test: yes\r\n\r\n", path);

	rawclient_say(client, text);
}

void rawclient_read(struct rawclient *client)
{
	char bytes[65536];
	ssize_t n;

	while (!client->is_ended && (n = recv(client->fd, bytes, sizeof(bytes), 0)) >= 0) {
		if (n == 0)
			client->is_ended = true;
		buf_add(&client->got, bytes, (size_t)n);
	}
	if (!client->is_ended && errno != EAGAIN)
		client->is_ended = true;
}

static bool rawclient_has(void *arg)
{
	struct rawclient *client = arg;

	rawclient_read(client);
	return strstr(buf_str(&client->got), client->wanted) != NULL;
}

static bool rawclient_has_ended(void *arg)
{
	struct rawclient *client = arg;

	rawclient_read(client);
	return client->is_ended;
}

void rawclient_expect(struct rawclient *client, struct netkit *kit, const char *wanted)
{
	client->wanted = wanted;
	ck_assert_msg(netkit_run(kit, rawclient_has, client), "no %s in %s", wanted,
	        buf_str(&client->got));
}

void rawclient_expect_end(struct rawclient *client, struct netkit *kit)
{
	ck_assert(netkit_run(kit, rawclient_has_ended, client));
}
