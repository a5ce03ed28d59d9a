/*
 * The address of a listening TCP socket: numeric, so that no resolver is asked, and of this machine
 * alone, since whoever connects may read without asking.
 */
#include "config/config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "util/str.h"

static bool is_loopback(const char *address, bool is_ipv6)
{
	struct in6_addr in6;
	struct in_addr in;

	if (is_ipv6)
		return inet_pton(AF_INET6, address, &in6) == 1 && IN6_IS_ADDR_LOOPBACK(&in6);
	return inet_pton(AF_INET, address, &in) == 1 && ntohl(in.s_addr) >> 24 == 127;
}

bool config_split_address(
        const char *text, char address[static CONFIG_ADDRESS_SIZE], uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	bool is_ipv6 = text[0] == '[';
	const char *from = text + is_ipv6;
	int64_t number;

	if (!colon || colon < from + is_ipv6 || (is_ipv6 && colon[-1] != ']'))
		return false;
	size_t len = (size_t)(colon - from) - is_ipv6;

	if (len >= CONFIG_ADDRESS_SIZE || str_to_int(colon + 1, 1, UINT16_MAX, &number) != 0)
		return false;
	memcpy(address, from, len);
	address[len] = '\0';
	*port = (uint16_t)number;
	return is_loopback(address, is_ipv6);
}
