/*
 * What JSON in and JSON out share: yajl looks at no answer of its allocator, so it is given one
 * that ends the process where there is no memory.
 */
#pragma once

#include <yajl/yajl_common.h>

extern const yajl_alloc_funcs json_memory;
