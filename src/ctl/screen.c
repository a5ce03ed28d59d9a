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
	char typed[64]; /* and not yet taken */
	size_t n_typed;
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

bool screen_is_possible(void)
{
	const char *kind = getenv("TERM");

	return isatty(STDOUT_FILENO) == 1 && kind && *kind && strcmp(kind, "dumb") != 0;
}

void screen_open(void)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction end = {.sa_handler = screen_on_end};
	struct sigaction resize = {.sa_handler = screen_on_resize};

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
	size_t n_left = screen_size().height;
	struct buf out = {0};
	const char *line = buf_str(frame);

	screen.is_stale = false;
	buf_adds(&out, "\033[H");
	for (; *line && n_left > 0; n_left--) {
		size_t len = strcspn(line, "\n");

		/* Erased before, since a full line leaves the cursor on its last character; and the
		 * end of the screen's last line would scroll all others up. */
		buf_adds(&out, "\033[2K");
		buf_add(&out, line, len);
		buf_adds(&out, n_left > 1 ? "\r\n" : "");
		line += len + (line[len] == '\n');
	}
	if (n_left > 0)
		buf_adds(&out, "\033[J");
	put(out.data, out.len);
	buf_deinit(&out);
}

/* The first key of the bytes; *used is how many it has. */
static enum screen_key key_of(const char *bytes, size_t len, size_t *used)
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
		*used = strlen(keys[i].bytes);
		if (*used <= len && memcmp(keys[i].bytes, bytes, *used) == 0)
			return keys[i].key;
	}
	*used = bytes[0] == '\033' ? len : 1; /* another key's sequence */
	return SCREEN_NONE;
}

enum screen_key screen_wait(int ms)
{
	struct pollfd keys = {.fd = screen.has_keys ? STDIN_FILENO : -1, .events = POLLIN};
	enum screen_key key;
	size_t used;

	if (screen.n_typed == 0) {
		if (screen.is_stale || poll(&keys, 1, ms) <= 0)
			return SCREEN_NONE;
		ssize_t n = read(STDIN_FILENO, screen.typed, sizeof(screen.typed));

		if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
			return SCREEN_QUIT;
		screen.n_typed = n > 0 ? (size_t)n : 0;
	}
	if (screen.n_typed == 0)
		return SCREEN_NONE;
	key = key_of(screen.typed, screen.n_typed, &used);
	screen.n_typed -= used;
	memmove(screen.typed, screen.typed + used, screen.n_typed);
	return key;
}
