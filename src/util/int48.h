/*
 * Six bytes for a time or a number where millions of them stand in memory: 47 bits and a sign,
 * which in milliseconds is 4,459 years. What is beyond is taken as the nearest that fits.
 */
#pragma once

#include <stdint.h>

#define INT48_MAX ((INT64_C(1) << 47) - 1)
#define INT48_MIN (-INT48_MAX - 1)

struct int48 {
	uint16_t low, middle;
	int16_t high;
};

static inline struct int48 int48_of(int64_t value)
{
	if (value > INT48_MAX)
		value = INT48_MAX;
	if (value < INT48_MIN)
		value = INT48_MIN;
	return (struct int48){
	        .low = (uint16_t)value,
	        .middle = (uint16_t)(value >> 16),
	        .high = (int16_t)(value >> 32),
	};
}

static inline int64_t int48_value(struct int48 from)
{
	return from.high * (INT64_C(1) << 32) + ((int64_t)from.middle << 16) + from.low;
}
