/*
 * A pool of shared strings: each distinct string is kept once, counted by its users, and freed
 * with the last of them. Users know it by a handle of 32 bits; equal strings of one pool have the
 * same.
 */
#pragma once

#include <stdint.h>

struct intern_pool;

struct intern_pool *intern_pool_new(void);
/* Frees the pool with every string still in it; takes NULL, returns NULL. */
struct intern_pool *intern_pool_free(struct intern_pool *pool);
/* A counted reference to the pool's copy of s; 0 for NULL. */
uint32_t intern_get(struct intern_pool *pool, const char *s);
/* What intern_get() would give, without a reference; 0 if nobody uses such a string. */
uint32_t intern_find(const struct intern_pool *pool, const char *s);
/* The string, for as long as it has a user; NULL for 0. */
const char *intern_text(const struct intern_pool *pool, uint32_t handle);
/* Gives a reference back; takes 0. */
void intern_put(struct intern_pool *pool, uint32_t handle);
