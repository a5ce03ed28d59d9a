#include "faultmem.h"

#include <assert.h>
#include <sqlite3.h>
#include <stddef.h>

static struct {
	sqlite3_mem_methods real;
	int64_t n_left; /* 0: none fails */
	bool is_lasting, has_fired;
} fault;

static bool is_due(void)
{
	if (fault.has_fired)
		return fault.is_lasting;
	fault.has_fired = fault.n_left > 0 && --fault.n_left == 0;
	return fault.has_fired;
}

static void *fault_malloc(int n)
{
	return is_due() ? NULL : fault.real.xMalloc(n);
}

static void *fault_realloc(void *old, int n)
{
	return is_due() ? NULL : fault.real.xRealloc(old, n);
}

void faultmem_install(void)
{
	sqlite3_mem_methods methods;
	int rc = sqlite3_config(SQLITE_CONFIG_GETMALLOC, &fault.real);

	assert(rc == SQLITE_OK);
	methods = fault.real;
	methods.xMalloc = fault_malloc;
	methods.xRealloc = fault_realloc;
	rc = sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
	assert(rc == SQLITE_OK);
	/* Lookaside slots would hide most of them. */
	rc = sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
	assert(rc == SQLITE_OK);
	(void)rc;
}

void faultmem_fail(int64_t nth, bool is_lasting)
{
	fault.n_left = nth;
	fault.is_lasting = is_lasting;
	fault.has_fired = false;
}

bool faultmem_heal(void)
{
	bool has_fired = fault.has_fired;

	fault.n_left = 0;
	fault.has_fired = fault.is_lasting = false;
	return has_fired;
}
