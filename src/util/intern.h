/*
 * A pool of shared strings: each distinct string is kept once, counted by its users, and freed
 * with the last of them. Equal strings of one pool are the same pointer.
 */
#pragma once

#include <stddef.h>

struct intern_pool;

struct intern_pool *intern_pool_new(void);
/* Frees the pool with every string still in it; takes NULL, returns NULL. */
struct intern_pool *intern_pool_free(struct intern_pool *pool);
/* A counted reference to the pool's copy of s; NULL for NULL. */
const char *intern_get(struct intern_pool *pool, const char *s);
/* Gives a reference back; takes NULL. */
void intern_put(struct intern_pool *pool, const char *s);
