/* The memory that net/http gives to libcurl: had, or the end of the process. */
#include <check.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "net/http.h"
#include "netkit.h"

/* ---- between net/ and the allocator (meson.build wraps the calls) ---- */

static bool is_out;

static struct {
	unsigned n;
	curl_malloc_callback take;
	curl_free_callback give;
	curl_realloc_callback resize;
	curl_strdup_callback copy;
	curl_calloc_callback make;
} given;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
CURLcode __real_curl_global_init_mem(long flags, curl_malloc_callback take, curl_free_callback give,
        curl_realloc_callback resize, curl_strdup_callback copy, curl_calloc_callback make);
CURLcode __wrap_curl_global_init_mem(long flags, curl_malloc_callback take, curl_free_callback give,
        curl_realloc_callback resize, curl_strdup_callback copy, curl_calloc_callback make);

void *__wrap_malloc(size_t size)
{
	return is_out ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return is_out ? NULL : __real_calloc(count, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
	return is_out ? NULL : __real_reallocarray(old, count, size);
}

CURLcode __wrap_curl_global_init_mem(long flags, curl_malloc_callback take, curl_free_callback give,
        curl_realloc_callback resize, curl_strdup_callback copy, curl_calloc_callback make)
{
	given.n++;
	given.take = take;
	given.give = give;
	given.resize = resize;
	given.copy = copy;
	given.make = make;
	return __real_curl_global_init_mem(flags, take, give, resize, copy, make);
}

static struct netkit kit;

static void start(void)
{
	struct loop *loop;
	struct http *http;

	ck_assert_int_eq(loop_new(&loop), 0);
	ck_assert_int_eq(http_new(loop, &http), 0);
	netkit_adopt(&kit, loop, http);
	ck_assert_uint_eq(given.n, 1);
}

/* ---- tests ---- */

START_TEST(test_it_is_as_the_allocator_gives_it)
{
	static const char zeroes[12];
	char *bytes;

	start();
	bytes = given.take(0);
	ck_assert_ptr_nonnull(bytes);
	bytes = given.resize(bytes, 5);
	memcpy(bytes, "abcd", 5);
	bytes = given.resize(bytes, 5000);
	ck_assert_str_eq(bytes, "abcd");
	given.give(bytes);
	bytes = given.copy("abcd");
	ck_assert_str_eq(bytes, "abcd");
	given.give(bytes);
	bytes = given.make(3, 4);
	ck_assert_mem_eq(bytes, zeroes, sizeof(zeroes));
	given.give(bytes);
	given.give(NULL);
	netkit_deinit(&kit);
}
END_TEST

START_TEST(test_want_of_it_ends_the_process)
{
	void *old;

	start();
	old = given.take(10);
	is_out = true;
	switch (_i) {
	case 0:
		given.take(10);
		break;
	case 1:
		given.resize(old, 20);
		break;
	case 2:
		given.copy("abcd");
		break;
	default:
		given.make(3, 4);
		break;
	}
	is_out = false;
	given.give(old);
	netkit_deinit(&kit);
}
END_TEST

static void add_tests(TCase *tests)
{
	tcase_add_test(tests, test_it_is_as_the_allocator_gives_it);
	tcase_add_loop_exit_test(tests, test_want_of_it_ends_the_process, 70, 0, 4);
}

int main(void)
{
	return netkit_main("http_memory", add_tests);
}
