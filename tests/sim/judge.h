/*
 * What only shows when a life is over: is all that was announced on disk, and nothing that
 * contradicts it? And at the end of all: did everything come to its right end?
 *
 * Both run in a process of their own: a failure ends it, as it ends a life.
 */
#pragma once

/* After each life; takes over what it committed in its last instant. */
void judge_life(void);
/* After the last one. */
void judge_end(void);
