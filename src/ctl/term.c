#include "ctl/term.h"

#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#include "util/mem.h"
#include "util/str.h"

static size_t term_width(int fd)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	int64_t width;

	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col < TERM_WIDTH_MIN ? TERM_WIDTH_MIN : size.ws_col;
	if (columns && str_to_int(columns, TERM_WIDTH_MIN, 10000, &width) == 0)
		return (size_t)width;
	return TERM_WIDTH_DEFAULT;
}

void term_init(struct term *term, int fd)
{
	const char *no_color = getenv("NO_COLOR");
	const char *kind = getenv("TERM");
	bool is_terminal = isatty(fd) == 1;

	*term = (struct term){
	        .is_terminal = is_terminal,
	        .has_color = is_terminal && !(no_color && *no_color) && kind && *kind &&
	                     strcmp(kind, "dumb") != 0,
	        /* What goes into a pipe or a file is UTF-8 whatever the locale: scripts read it. */
	        .is_utf8 = !is_terminal || strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
	        .width = term_width(fd),
	};
}

enum color color_of_state(const char *state)
{
	static const struct {
		const char *state;
		enum color color;
	} colors[] = {
	        {"COMPLETED", COLOR_GREEN},
	        {"delivered", COLOR_GREEN},
	        {"ok", COLOR_GREEN},
	        {"FAILURE", COLOR_RED},
	        {"FAILED", COLOR_RED},
	        {"LOST", COLOR_RED},
	        {"dead", COLOR_RED},
	        {"paused", COLOR_RED},
	        {"held", COLOR_YELLOW},
	        {"IN PROGRESS", COLOR_CYAN},
	        {"running", COLOR_CYAN},
	        {"PENDING", COLOR_DIM},
	        {"pending", COLOR_YELLOW},
	};

	for (size_t i = 0; i < ARRAY_LEN(colors); i++) {
		if (str_is_equal(colors[i].state, state))
			return colors[i].color;
	}
	return COLOR_NONE;
}

void term_add_colored(const struct term *term, struct buf *out, enum color color, const char *text)
{
	/* Select Graphic Rendition of ECMA-48. */
	static const char *const codes[] = {
	        [COLOR_BOLD] = "1",
	        [COLOR_DIM] = "2",
	        [COLOR_RED] = "31",
	        [COLOR_GREEN] = "32",
	        [COLOR_YELLOW] = "33",
	        [COLOR_CYAN] = "36",
	};

	if (term->has_color && color != COLOR_NONE)
		buf_addf(out, "\033[%sm%s\033[0m", codes[color], text);
	else
		buf_adds(out, text);
}

/* Decodes the sequence at s (ended by NUL); *n is its length, at least 1. -1: no UTF-8. */
static int32_t text_decode(const char *s, size_t *n)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t len = u[0] < 0x80 ? 1 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
	int32_t code;

	*n = 1;
	if (len == 1)
		return u[0];
	if (strnlen(s, len) < len || !str_is_utf8(s, len, NULL))
		return -1;
	*n = len;
	code = u[0] & (0xff >> (len + 1));
	for (size_t i = 1; i < len; i++)
		code = code << 6 | (u[i] & 0x3f);
	return code;
}

/* Cc, the separators U+2028 and U+2029, and the directional controls of Unicode's UAX #9. */
static bool code_is_unsafe(int32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x061c || code == 0x200e ||
	       code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069);
}

void text_add_safe(struct buf *out, const char *text, bool is_utf8)
{
	size_t n;

	for (const char *p = text; *p; p += n) {
		int32_t code = text_decode(p, &n);

		if (code < 0 || code_is_unsafe(code) || (code >= 0x80 && !is_utf8))
			buf_addc(out, '?');
		else
			buf_add(out, p, n);
	}
}

void text_add_safe_json(struct buf *out, const char *text, size_t len)
{
	size_t n;

	/* Below 0x20 only white space can stand in a JSON text that was parsed; of it a carriage
	 * return would let what follows stand over what was printed before. */
	for (const char *p = text; p < text + len; p += n) {
		int32_t code = text_decode(p, &n);

		if (code == '\r')
			buf_addc(out, ' ');
		else if (code >= 0x7f && code_is_unsafe(code))
			buf_addf(out, "\\u%04x", (unsigned)code);
		else
			buf_add(out, p, n);
	}
}

static size_t code_width(int32_t code)
{
	int width = code < 0x80 ? 1 : wcwidth((wchar_t)code);

	/* Unassigned in this C library's tables: terminals show one column of something. */
	return width < 0 ? 1 : (size_t)width;
}

size_t text_width(const char *text)
{
	size_t width = 0, n;

	for (const char *p = text; *p; p += n)
		width += code_width(text_decode(p, &n));
	return width;
}

void text_add_cut(struct buf *out, const char *text, size_t width, bool is_utf8)
{
	const char *ellipsis = is_utf8 ? "\xe2\x80\xa6" : "...";
	size_t room, used = 0, n;

	if (text_width(text) <= width) {
		buf_adds(out, text);
		return;
	}
	room = text_width(ellipsis);
	room = width > room ? width - room : 0;
	for (const char *p = text; *p; p += n) {
		size_t next = code_width(text_decode(p, &n));

		if (used + next > room)
			break;
		buf_add(out, p, n);
		used += next;
	}
	if (width >= text_width(ellipsis))
		buf_adds(out, ellipsis);
}

bool text_parse_time(const char *text, int64_t *wall_ms)
{
	int year, month, day, hour, minute, second, n = 0, ms = 0;
	struct tm tm = {0};
	const char *p;

	if (!text ||
	        sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute,
	                &second, &n) != 6 ||
	        n != 19)
		return false;
	p = text + n;
	if (*p == '.') {
		size_t digits = strspn(++p, "0123456789");

		for (size_t i = 0; i < 3; i++)
			ms = ms * 10 + (i < digits ? p[i] - '0' : 0);
		p += digits;
	}
	if (strcmp(p, "Z") != 0)
		return false;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	tm.tm_mday = day;
	tm.tm_hour = hour;
	tm.tm_min = minute;
	tm.tm_sec = second;
	*wall_ms = (int64_t)timegm(&tm) * 1000 + ms;
	return true;
}

char *text_duration(int64_t ms, char text[static TEXT_RELATIVE_SIZE])
{
	static const struct {
		const char *name;
		int64_t ms;
	} units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}};
	size_t i = 0;
	int64_t most, rest;

	if (ms < 1000) {
		snprintf(text, TEXT_RELATIVE_SIZE, "%lldms", (long long)(ms < 0 ? 0 : ms));
		return text;
	}
	while (units[i].ms > ms)
		i++;
	most = ms / units[i].ms;
	rest = i + 1 < ARRAY_LEN(units) ? ms % units[i].ms / units[i + 1].ms : 0;
	if (rest > 0)
		snprintf(text, TEXT_RELATIVE_SIZE, "%lld%s %lld%s", (long long)most, units[i].name,
		        (long long)rest, units[i + 1].name);
	else
		snprintf(text, TEXT_RELATIVE_SIZE, "%lld%s", (long long)most, units[i].name);
	return text;
}

char *text_relative(int64_t wall_ms, int64_t now_wall_ms, char text[static TEXT_RELATIVE_SIZE])
{
	int64_t away = wall_ms - now_wall_ms;
	char span[TEXT_RELATIVE_SIZE];

	text_duration(away < 0 ? -away : away, span);
	if (away > -1000 && away < 1000)
		str_copy(text, TEXT_RELATIVE_SIZE, "now");
	else if (away < 0)
		snprintf(text, TEXT_RELATIVE_SIZE, "%.40s ago", span);
	else
		snprintf(text, TEXT_RELATIVE_SIZE, "in %.40s", span);
	return text;
}
