"""strace(1) as what goes wrong: a signal or an errno at the k-th system call of a kind.

Only the daemon's main thread is traced: it alone holds the database and starts hooks. What its
start-up costs before main() (the dynamic linker) is left out.
"""

import collections
import errno
import re
import shutil
import subprocess

MAIN_BEGINS = "umask("  # the first call of main() that nothing before it makes
STARTED = "listen("     # the last of a start: all is recovered
CALL = re.compile(r"^([a-z0-9_]+)\(")
LOST_SIGTERM = re.compile(r'(?:write|sendto)\([^,]*, "\\17", 1[,)]')

MEMORY = {"mmap", "mprotect", "mremap", "munmap", "brk"}

# What execve, a clock or an exit may answer is nobody's concern here.
NO_KINDS = {"exit_group", "execve", "restart_syscall", "rt_sigreturn"}

# The errors of the four that the kernel gives for a kind; starting a process adds EAGAIN. brk is
# left out: strace's error is no address, as which the C library would take it.
FILE = ("EIO", "ENOMEM")
NEW_FILE = ("EMFILE", "ENOMEM", "EIO", "ENOSPC")
DESCRIPTOR = ("EMFILE", "ENOMEM")
ERRORS = {
    **dict.fromkeys(("openat", "open"), NEW_FILE),
    **dict.fromkeys(("read", "pread64", "newfstatat", "fstat", "lseek", "access", "statfs",
                     "getdents64", "ftruncate", "unlink", "unlinkat", "fchown", "readlink",
                     "fchmod", "flock"), FILE),
    **dict.fromkeys(("write", "pwrite64", "fdatasync", "fsync", "renameat", "rename", "mkdir",
                     "renameat2"), ("EIO", "ENOSPC", "ENOMEM")),
    "fallocate": ("ENOSPC", "EIO"),
    "close": ("EIO",),
    **dict.fromkeys(("socket", "socketpair", "accept4", "pipe2", "pidfd_open", "epoll_create1",
                     "eventfd2"), DESCRIPTOR),
    "fcntl": ("EMFILE", "ENOMEM", "EIO"),
    **dict.fromkeys(("bind", "listen", "connect", "setsockopt", "getsockopt", "sendto", "recvfrom",
                     "readv", "writev", "poll", "getsockname", "getpeername", "ioctl",
                     "mprotect", "mmap", "mremap", "munmap"), ("ENOMEM",)),
    "epoll_ctl": ("ENOMEM", "ENOSPC"),
    **dict.fromkeys(("vfork", "clone", "clone3"), ("EAGAIN", "ENOMEM")),
    "waitid": (),
}

Point = collections.namedtuple("Point", "what kind k")  # what: KILL, or an errno; EIO+3 = three of
# Counters by kind: what was called before main(), what until the last socket was open, and all.
Trace = collections.namedtuple("Trace", "before start calls is_sanitized")


def can_trace():
    """None, or why strace cannot do it here."""
    if not shutil.which("strace"):
        return "strace is not installed"
    done = subprocess.run(["strace", "-D", "-qq", "-o", "/dev/null", "-e", "trace=close",
                           "-e", "inject=close:signal=KILL:when=1", "/bin/true"],
                          stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30)
    if done.returncode not in (-9, 137):
        return "strace cannot trace here: " + done.stderr.decode(errors="replace").strip()[:200]
    return None


def tracing(path):
    return ["strace", "-D", "-qq", "-o", path]


def injecting(path, point):
    """The k-th call of the kind, or from it on as many as are asked for."""
    what, _, n = point.what.partition("+")
    fault = "signal=KILL" if what == "KILL" else "error=" + what
    when = f"{point.k}..{point.k + int(n) - 1}" if n else str(point.k)
    return ["strace", "-D", "-qq", "-y", "-o", path, "-e", "trace=" + point.kind,
            "-e", f"inject={point.kind}:{fault}:when={when}"]


def read_trace(path):
    before, start, calls = collections.Counter(), collections.Counter(), collections.Counter()
    is_main, lines = False, path.read_text(errors="replace").splitlines()
    for line in lines:
        call = CALL.match(line)
        if not call:
            continue
        is_main = is_main or line.startswith(MAIN_BEGINS)
        calls[call[1]] += 1
        if not is_main:
            before[call[1]] += 1
        if line.startswith(STARTED):
            start = calls.copy()
    return Trace(before, start, calls, any("libasan" in line for line in lines))


def of_start(trace):
    """The same, but for what comes after the start."""
    return trace._replace(calls=trace.start)


def injected(path):
    """The calls that failed, as strace shows them."""
    if not path.exists():
        return []
    return [line for line in path.read_text(errors="replace").splitlines() if "INJECTED" in line]


def is_lost_sigterm(lines):
    """Whether libevent could not pass SIGTERM on: its handler writes the number into a socket of its
    own, which fails when the socket is full and never else; nothing can tell that it was lost."""
    return any(LOST_SIGTERM.match(line) for line in lines)


def kill_points(trace):
    return [Point("KILL", kind, k) for kind, n in sorted(trace.calls.items())
            if kind not in NO_KINDS for k in range(trace.before[kind] + 1, n + 1)]


def fault_points(trace):
    """A sanitizer's memory is its own, and it ends when it gets none."""
    points = [Point(what, kind, k) for kind, n in sorted(trace.calls.items())
              if not (trace.is_sanitized and kind in MEMORY)
              for what in ERRORS.get(kind, ()) for k in range(trace.before[kind] + 1, n + 1)]
    # A disk that is full for a while.
    return points + [Point("ENOSPC+3", "pwrite64", k)
                     for k in range(1, trace.calls["pwrite64"] + 1, 10)]


# ---- how a daemon may end that met an error ----

OK, OTHER, INTERNAL, IO = 0, 1, 70, 74
ABORTED = -6


def ends_wrongly(point, lines, code):
    """None, or what is wrong with the exit code. 65 and 78 keep a service from starting again, 69
    speaks of another instance: no passing error may lead to any of them."""
    what = point.what.partition("+")[0]
    is_database = any("bulkwatch.db" in line for line in lines)
    if point.kind == "fdatasync" and is_database:
        allowed = {IO}  # nobody knows what is on disk
    elif point.kind == "pwrite64" and is_database and what == "EIO":
        allowed = {IO}
    elif point.kind in MEMORY:
        allowed = {OK, OTHER, INTERNAL, IO, ABORTED}  # OpenSSL and libevent may abort
    else:
        allowed = {OK, OTHER, INTERNAL, IO}
    return None if code in allowed else f"it ended with {code}, not {sorted(allowed)}"


assert all(hasattr(errno, name) for names in ERRORS.values() for name in names)
