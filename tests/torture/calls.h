/* A wrapper for -Wl,--wrap (meson.build has the list). */
#pragma once

#include "fault.h"

#define CALL(type, name, parameters, arguments, failure)                                           \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		return fault_is_due(FAULT_CALL, #name) ? failure : __real_##name arguments;        \
	}
