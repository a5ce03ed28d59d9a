#include "slowdns.h"

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* It has nowhere to keep its state but here: it is called by name. */
static struct {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool is_silent; /* names that begin with "silent" get no answer */
	unsigned n_in;
	unsigned n_in_max;
} slowdns = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

typedef int getaddrinfo_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
        struct addrinfo **result)
{
	getaddrinfo_fn *real = (getaddrinfo_fn *)(uintptr_t)dlsym(RTLD_NEXT, "getaddrinfo");

	if (node && strncmp(node, "nowhere", 7) == 0)
		return EAI_NONAME;
	if (node && strncmp(node, "silent", 6) == 0) {
		pthread_mutex_lock(&slowdns.mutex);
		slowdns.n_in++;
		if (slowdns.n_in > slowdns.n_in_max)
			slowdns.n_in_max = slowdns.n_in;
		while (slowdns.is_silent)
			pthread_cond_wait(&slowdns.changed, &slowdns.mutex);
		slowdns.n_in--;
		pthread_cond_broadcast(&slowdns.changed);
		pthread_mutex_unlock(&slowdns.mutex);
		node = "127.0.0.1";
	}
	return real(node, service, hints, result);
}

void slowdns_be_silent(void)
{
	pthread_mutex_lock(&slowdns.mutex);
	slowdns.is_silent = true;
	slowdns.n_in_max = 0;
	pthread_mutex_unlock(&slowdns.mutex);
}

void slowdns_answer(void)
{
	pthread_mutex_lock(&slowdns.mutex);
	slowdns.is_silent = false;
	pthread_cond_broadcast(&slowdns.changed);
	while (slowdns.n_in > 0)
		pthread_cond_wait(&slowdns.changed, &slowdns.mutex);
	pthread_mutex_unlock(&slowdns.mutex);
}

unsigned slowdns_most_at_once(void)
{
	unsigned n;

	pthread_mutex_lock(&slowdns.mutex);
	n = slowdns.n_in_max;
	pthread_mutex_unlock(&slowdns.mutex);
	return n;
}
