#include "ctl/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "util/mem.h"

enum { WIDTH_DEFAULT = 80, HEIGHT_DEFAULT = 24 };

/* Alternate screen, no cursor, no wrapping of long lines; and back. */
static const char enter[] = "\033[?1049h\033[?25l\033[?7l";
static const char leave[] = "\033[?7h\033[?25h\033[?1049l";

/* Of the one terminal: signal handlers can be given nothing. */
static struct {
	struct termios before, raw;
	bool has_keys;
	volatile sig_atomic_t is_open, is_stale;
} screen;

/* ---- taken over and given back; safe in a signal handler (signal-safety(7)) ---- */

static void put(const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, text, len);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
}

static void take_over(void)
{
	if (screen.has_keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &screen.raw);
	put(enter, sizeof(enter) - 1);
}

static void give_back(void)
{
	put(leave, sizeof(leave) - 1);
	if (screen.has_keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &screen.before);
}

/* The signal comes again with its ordinary effect, when its handler has returned. */
static void screen_on_end(int signo)
{
	int error = errno;

	if (screen.is_open)
		give_back();
	screen.is_open = false;
	signal(signo, SIG_DFL);
	raise(signo);
	errno = error;
}

static void screen_on_stop(int signo);

static void catch_stop(void)
{
	struct sigaction action = {.sa_handler = screen_on_stop};

	sigaction(SIGTSTP, &action, NULL);
}

static void screen_on_stop(int signo)
{
	int error = errno;
	sigset_t only;

	give_back();
	signal(signo, SIG_DFL);
	sigemptyset(&only);
	sigaddset(&only, signo);
	raise(signo);
	sigprocmask(SIG_UNBLOCK, &only, NULL); /* it stops here */
	catch_stop();
	take_over();
	screen.is_stale = true;
	errno = error;
}

static void screen_on_resize(int signo)
{
	(void)signo;
	screen.is_stale = true;
}

/* ---- */

bool screen_open(void)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	const char *kind = getenv("TERM");
	struct sigaction end = {.sa_handler = screen_on_end};
	struct sigaction resize = {.sa_handler = screen_on_resize};

	if (isatty(STDOUT_FILENO) != 1 || !kind || !*kind || strcmp(kind, "dumb") == 0)
		return false;
	screen.has_keys = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &screen.before) == 0;
	screen.raw = screen.before;
	screen.raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	screen.raw.c_cc[VMIN] = 0;
	screen.raw.c_cc[VTIME] = 0;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		sigaction(ends[i], &end, NULL);
	sigaction(SIGWINCH, &resize, NULL);
	catch_stop();
	fflush(stdout);
	screen.is_open = true;
	take_over();
	return true;
}

void screen_close(void)
{
	if (screen.is_open)
		give_back();
	screen.is_open = false;
	signal(SIGTSTP, SIG_DFL);
}

struct screen_size screen_size(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0)
		return (struct screen_size){WIDTH_DEFAULT, HEIGHT_DEFAULT};
	return (struct screen_size){size.ws_col, size.ws_row};
}

void screen_draw(const struct buf *frame)
{
	struct buf out = {0};
	const char *line = buf_str(frame);

	screen.is_stale = false;
	buf_adds(&out, "\033[H");
	while (*line) {
		size_t len = strcspn(line, "\n");

		/* The end of the last line would scroll all others up. */
		buf_add(&out, line, len);
		buf_adds(&out, line[len] && line[len + 1] ? "\033[K\r\n" : "\033[K");
		line += len + (line[len] == '\n');
	}
	buf_adds(&out, "\033[J");
	put(out.data, out.len);
	buf_deinit(&out);
}

static enum screen_key key_of(const char *bytes, size_t len)
{
	static const struct {
		const char *bytes;
		enum screen_key key;
	} keys[] = {
	        {"q", SCREEN_QUIT},
	        {"Q", SCREEN_QUIT},
	        {" ", SCREEN_NEXT},
	        {"n", SCREEN_NEXT},
	        {"\033[6~", SCREEN_NEXT},
	        {"b", SCREEN_BACK},
	        {"p", SCREEN_BACK},
	        {"\033[5~", SCREEN_BACK},
	        {"a", SCREEN_FILTER},
	};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		size_t n = strlen(keys[i].bytes);

		if (n <= len && memcmp(keys[i].bytes, bytes, n) == 0)
			return keys[i].key;
	}
	return SCREEN_NONE;
}

enum screen_key screen_wait(int ms)
{
	struct pollfd keys = {.fd = screen.has_keys ? STDIN_FILENO : -1, .events = POLLIN};
	char bytes[16];

	if (screen.is_stale || poll(&keys, 1, ms) <= 0)
		return SCREEN_NONE;
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		return SCREEN_QUIT;
	return n > 0 ? key_of(bytes, (size_t)n) : SCREEN_NONE;
}
