#include "fault.h"

static _Thread_local struct {
	bool is_armed;
	enum fault_kind kind;
	unsigned nth, count, variant;
	bool is_lasting;
	const char *where;
} fault;

void fault_arm(enum fault_kind kind, unsigned nth, bool is_lasting, unsigned variant)
{
	fault.kind = kind;
	fault.nth = nth;
	fault.is_lasting = is_lasting;
	fault.variant = variant;
	fault.count = 0;
	fault.where = "";
	fault.is_armed = true;
}

void fault_disarm(void)
{
	fault.is_armed = false;
}

unsigned fault_count(void)
{
	return fault.count;
}

const char *fault_where(void)
{
	return fault.where ? fault.where : "";
}

bool fault_is_due(enum fault_kind kind, const char *name)
{
	if (!fault.is_armed || fault.kind != kind)
		return false;
	fault.count++;
	if (fault.nth == 0 || fault.count < fault.nth ||
	        (fault.count > fault.nth && !fault.is_lasting))
		return false;
	if (fault.count == fault.nth)
		fault.where = name;
	return true;
}

unsigned fault_variant(void)
{
	return fault.variant;
}
