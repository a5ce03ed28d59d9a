/*
 * A getaddrinfo of the test's own: libcurl finds the program's before the C library's. Names that
 * begin with "nowhere" do not exist, those that begin with "silent" are 127.0.0.1 and get no answer
 * while it is silent, all others are the C library's.
 */
#pragma once

void slowdns_be_silent(void);
/* Answers all, and waits until every thread has left. */
void slowdns_answer(void);
/* The most threads that waited for a silent name at one time, since it became silent. */
unsigned slowdns_most_at_once(void);
