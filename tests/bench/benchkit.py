"""What the benchmarks of the running daemon share: the server, the processes, the clocks.

The client has one core and the server another. Time is the operating system's own account of a
process (the clock of getrusage), so that what else runs on the machine costs little; what it still
costs is shown: everything is measured in pairs, one right after the other, and a ratio is the
median of its pairs with their range.
"""

import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

BENCH = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(BENCH.parent / "e2e"))
sys.dont_write_bytecode = True
import harness  # noqa: E402

CLIENT_CORE, SERVER_CORE = 0, 1
BUILT = harness.BUILD / "tests" / "bench"
FIRST_ID = 3652397000000000000
PATH = "/bigin/bulk/v2/read/"
CREDITS = 10000000
NGINX = os.environ.get("NGINX", "/usr/sbin/nginx")
WARM_S = 2

# A reply of 1 KB in the words of Zoho's page on bulk read. What begins with a dollar is nginx's.
REPLY = ('{"data":[{"id":"$job","operation":"read","state":"$state","query":{"fields":[%s],'
         '"module":"Contacts","criteria":{"group":[{"api_name":"Owner.last_name","comparator":'
         '"equal","value":"Boyle"},{"api_name":"Account_Name.Phone","comparator":"contains",'
         '"value":"5"}],"group_operator":"or"},"page":$page},"created_by":{"id":'
         '"3652397000000186017","name":"Patricia Boyle"},"created_time":'
         '"2019-04-01T14:22:04+05:30"}]$blank}')
FIELDS = ",".join(f'"Field_Number_{i:02}"' for i in range(32))

# What a server of its own says: its state (a transition is a state that differs from the last one:
# half a percent of ADDED among the others makes one percent), white space, page.
VARIANTS = {
    "same": ("IN PROGRESS", "    ", "1"),              # every byte as it was
    "mostly": ("$some_added", "    ", "1"),            # 1 % transitions, the rest as it was
    "reworded": ("$some_added", "$some_blank", "1"),   # 1 % transitions, all bytes differ
    "rewritten": ("$some_added", "    ", "$some_page"),  # every document differs: a row a poll
    "completed": ("COMPLETED", "    ", "1"),
    "finishing": ("IN PROGRESS", "    ", "1"),         # COMPLETED once there is a file "finished"
    "logged": ("IN PROGRESS", "    ", "1"),            # a line a request; a connection ends after 100
}
MORE = {
    "finishing": "if (-f {dir}/finished) {{ set $state COMPLETED; }}",
    "logged": "access_log {dir}/requests.log connections; keepalive_requests 100;",
}


def pinned(core, *argv):
    """Before everything else on the machine, where we may."""
    priority = ["nice", "-n", "-20"] if os.geteuid() == 0 else []
    return [*priority, "taskset", "-c", str(core), *map(str, argv)]


def cpu_s(pid):
    """All CPU time of the process so far: CPUCLOCK_SCHED of clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


class Server:
    """nginx, one port a variant and scheme."""

    def __init__(self, stage):
        self.stage = stage
        self.dir = stage.dir / "nginx"
        self.dir.mkdir()
        self.ca_file = self.dir / "ca.pem"
        self.make_certificates()
        self.ports = {}
        held = []
        for variant in VARIANTS:
            for scheme in ("http", "https"):
                port, sock = free_port()
                held.append(sock)
                self.ports[variant, scheme] = port
        (self.dir / "nginx.conf").write_text(self.configuration())
        for sock in held:
            sock.close()
        self.process = stage.spawn(pinned(
            SERVER_CORE, NGINX, "-p", self.dir, "-c", self.dir / "nginx.conf",
            "-e", "stderr"), stderr=open(self.dir / "stderr", "ab"))
        harness.wait_for(self.is_up, "nginx", why=(self.dir / "stderr").read_text)

    def openssl(self, *arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, cwd=self.dir,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def make_certificates(self):
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        self.openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
                     "-subj", "/CN=benchmark CA")
        self.openssl("req", *key, "-keyout", "server.key", "-out", "server.csr",
                     "-subj", "/CN=127.0.0.1")
        (self.dir / "san").write_text("subjectAltName=IP:127.0.0.1\n")
        self.openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                     "-CAcreateserial", "-out", "server.pem", "-days", "2", "-extfile", "san")

    def configuration(self):
        servers = []
        for (variant, scheme), port in self.ports.items():
            state, blank, page = VARIANTS[variant]
            tls = " ssl" if scheme == "https" else ""
            servers.append(
                f"server {{ listen 127.0.0.1:{port}{tls};\n"
                f" set $state '{state}'; set $blank '{blank}'; set $page '{page}';\n"
                f" {MORE.get(variant, '').format(dir=self.dir)}\n"
                f" location ~ ^{PATH}(?<job>[0-9]+)$ {{ return 200 '{REPLY % FIELDS}'; }} }}")
        servers = "\n".join(servers)
        blanks = "\n".join(f"~^{a:x}{b:x} '{white(a)}{white(b)}';"
                           for a in range(16) for b in range(16))
        return f"""daemon off; master_process off; pid {self.dir}/pid;
events {{ worker_connections 4096; }}
http {{
log_format connections '$connection $ssl_session_reused';
access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s;
ssl_protocols TLSv1.2 TLSv1.3;
default_type 'application/json;charset=UTF-8';
client_body_temp_path {self.dir}/t1; proxy_temp_path {self.dir}/t2; fastcgi_temp_path {self.dir}/t3;
uwsgi_temp_path {self.dir}/t4; scgi_temp_path {self.dir}/t5;
ssl_certificate {self.dir}/server.pem; ssl_certificate_key {self.dir}/server.key;
split_clients $request_id $some_added {{ 0.5% ADDED; * 'IN PROGRESS'; }}
map $request_id $some_blank {{ {blanks} }}
map $request_id $some_page {{ ~^(?<some>....) '"$some"'; }}
{servers}
}}
"""

    def is_up(self):
        if self.process.poll() is not None:
            raise AssertionError("nginx ended: " + (self.dir / "stderr").read_text())
        return (self.dir / "pid").exists()

    def url(self, variant, scheme):
        return f"{scheme}://127.0.0.1:{self.ports[variant, scheme]}"


def free_port():
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    return sock.getsockname()[1], sock


def white(digit):
    return "".join(" \t"[digit >> bit & 1] for bit in range(4))


class Cost:
    """Of n requests: CPU and wall time."""

    def __init__(self, n, cpu_us, wall_us):
        self.n, self.cpu_us, self.wall_us = n, cpu_us, wall_us

    @property
    def each_us(self):
        return self.cpu_us / self.n

    @property
    def per_wall_s(self):
        return self.n * 1e6 / self.wall_us

    @property
    def per_cpu_s(self):
        return self.n * 1e6 / self.cpu_us


class Watch:
    """A daemon with jobs to poll back to back."""

    def __init__(self, server, variant, scheme, n_jobs=1000, in_flight=48, n_accounts=4,
                 hooks=None, poll=None, first=0, ready_s=120, wrapper=()):
        self.stage = stage = server.stage
        self.dir = pathlib.Path(tempfile.mkdtemp(dir=stage.dir, prefix="watch-"))
        stage.state_dir, stage.runtime_dir = self.dir / "state", self.dir / "run"
        stage.config_file, stage.log_file = self.dir / "bulkwatchd.yaml", self.dir / "stderr"
        for directory in (stage.state_dir, stage.runtime_dir):
            directory.mkdir(mode=0o700)
        self.n_jobs = n_jobs
        accounts = {}
        for i in range(n_accounts):
            path = self.dir / f"{i}.jobs"
            with open(path, "w") as file:
                for k in range(i, n_jobs, n_accounts):
                    file.write(f"{FIRST_ID + first + k}\n")
            accounts[f"account-{i}"] = stage.account(
                [], max_in_flight=in_flight // n_accounts, credits_per_day=CREDITS,
                jobs_file=str(path))
            del accounts[f"account-{i}"]["jobs"]
        stage.config(accounts, hooks=hooks, datacenters={"eu": {
            "api_url": server.url(variant, scheme), "accounts_url": server.url(variant, scheme),
            "ca_file": str(server.ca_file)}},
            poll={"min_interval": "10ms", "max_interval": "10ms", **(poll or {})})
        self.log_file = stage.log_file
        self.daemon = stage.launch(wrapper=pinned(CLIENT_CORE, *wrapper))
        harness.wait_for(self.daemon.is_ready, "the daemon", deadline_s=ready_s, why=self.log)

    def log(self):
        return self.log_file.read_text(errors="replace")

    def polls(self):
        return sum(account["polls"] for account in self.daemon.get("/v1/accounts").json()["accounts"])

    def warm(self, n_polls, deadline_s=60):
        start = self.polls()
        while self.polls() < start + n_polls:
            time.sleep(0.05)
            deadline_s -= 0.05
            if deadline_s < 0:
                raise AssertionError("the daemon is too slow: " + self.log()[-2000:])

    def measure(self, seconds):
        pid = self.daemon.pid
        n, cpu, wall = self.polls(), cpu_s(pid), time.monotonic()
        time.sleep(seconds)
        more, cpu_after, wall_after = self.polls(), cpu_s(pid), time.monotonic()
        return Cost(more - n, (cpu_after - cpu) * 1e6, (wall_after - wall) * 1e6)

    def metrics(self, *names):
        """The values of lines of /metrics at one time, by name and labels as they stand there."""
        lines = self.daemon.get("/metrics").data.decode().splitlines()
        values = {name: value for name, _, value in (line.rpartition(" ") for line in lines)}
        return [float(values[name]) for name in names]

    def turns(self, longer_than):
        """How many of the loop there were that took longer than a bound of the histogram."""
        total, shorter = self.metrics("bulkwatch_loop_turn_seconds_count",
                                      f'bulkwatch_loop_turn_seconds_bucket{{le="{longer_than}"}}')
        return total - shorter

    def end(self):
        code = self.daemon.stop()
        log = self.log()
        shutil.rmtree(self.dir)
        if code != 0:
            raise AssertionError(f"the daemon ended with {code}: {log[-2000:]}")


def measure_us(server, variant, scheme, seconds, **more):
    watch = Watch(server, variant, scheme, **more)
    watch.warm(5 * watch.n_jobs)
    time.sleep(WARM_S)
    cost = watch.measure(seconds)
    watch.end()
    return cost


def measure_floor(server, variant, scheme, seconds, in_flight=48, n_jobs=1000):
    said = subprocess.run(pinned(
        CLIENT_CORE, BUILT / "peer_floor", server.url(variant, scheme) + PATH, FIRST_ID, n_jobs,
        in_flight, int(WARM_S * 1000), int(seconds * 1000), server.ca_file),
        check=True, stdout=subprocess.PIPE, text=True).stdout
    return Cost(*map(int, said.split()))


# ---- tables ----


def middle(values):
    return statistics.median(values)


def span(values, form="{:.2f}"):
    """Median and range."""
    return (form + " (" + form + "-" + form + ")").format(middle(values), min(values), max(values))


class Table:
    def __init__(self, title, *columns):
        print(f"\n{title}\n")
        print("| " + " | ".join(columns) + " |")
        print("|" + "---|" * len(columns), flush=True)

    def row(self, *cells):
        print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


class Demands:
    """What is demanded of the figures; a benchmark exits 1 if one is missed."""

    def __init__(self):
        self.n_missed = 0

    def at_most(self, what, value, limit):
        self.say(what, value, value <= limit, f"at most {limit}")

    def at_least(self, what, value, limit):
        self.say(what, value, value >= limit, f"at least {limit}")

    def say(self, what, value, is_met, words):
        self.n_missed += not is_met
        print(f"{'ok' if is_met else 'MISSED'}: {what}: {value:.3g}, {words}", flush=True)
