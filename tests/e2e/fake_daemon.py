"""A daemon for the tests of the command line: canned answers over Unix sockets, no bulkwatchd."""

import http.server
import json
import os
import socketserver
import threading
import urllib.parse

JOB_TIMES = {
    "since": "2026-11-24T05:00:00.000Z",
    "watched_since": "2026-11-24T04:00:00.000Z",
    "last_polled": "2026-11-24T05:00:00.000Z",
    "last_answered": "2026-11-24T05:00:00.000Z",
}


def job(account, job_id, name=None, state="ADDED", **more):
    """A job with every member that section 6 of the API names."""
    answer = {
        "account": account, "id": job_id, "name": name, "datacenter": "eu", "service": "bigin",
        "state": state, "finished": state in ("COMPLETED", "FAILURE", "FAILED", "LOST"),
        "watched": True, "paused": False, **JOB_TIMES,
        "next_poll": None, "polls": 3, "failures": 0, "last_error": None,
        "operation": "read", "created_by": {"id": "1", "name": "Patricia Boyle"},
        "created_time": "2019-04-01T14:20:04+05:30",
        "query": {"module": "Contacts", "page": 1, "fields": ["Last_Name", "Owner"]},
        "result": None,
    }
    answer.update(more)
    return answer


def event(seq, kind, account, job_id=None, from_state=None, to_state=None, body=None):
    answer = {
        "seq": seq, "id": "0123456789abcdef-%d" % seq, "type": kind,
        "at": "2026-11-24T05:00:%02d.123Z" % (seq % 60), "account": account,
        "job_id": job_id, "from_state": from_state, "to_state": to_state,
    }
    if job_id:
        answer["job"] = body or job(account, job_id, state=to_state or "PENDING")
    return answer


class Reply:
    """What a route answers: a status, a body (JSON if not bytes), and headers."""

    def __init__(self, body=None, status=200, kind=None, length=None):
        self.status = status
        self.kind = kind or ("application/json" if status < 400 else "application/problem+json")
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        if body is None:
            self.body = b""
        self.length = len(self.body) if length is None else length


def problem(status, title, detail=None, **more):
    return Reply({"type": "about:blank", "title": title, "status": status, "detail": detail,
                  **more}, status)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def address_string(self):
        return "unix"

    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        daemon = self.server.daemon_of_test
        with daemon.lock:
            daemon.requests.append((self.server.kind, self.command, url.path, query, body))
        reply = daemon.reply(self.command, url.path, query, body, self)
        if reply is None:
            return
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        if reply.status != 204:
            self.send_header("Content-Length", str(reply.length))
        self.end_headers()
        self.wfile.write(reply.body)
        if reply.length != len(reply.body):
            self.close_connection = True

    do_GET = do_POST = do_DELETE = answer


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that leaves in the middle is no error here."""


class FakeDaemon:
    """Serves query.sock and admin.sock below a directory until stop()."""

    def __init__(self, directory):
        self.directory = directory
        self.lock = threading.Lock()
        self.requests = []
        self.routes = {}
        self.jobs = []
        self.events = []
        self.accounts = []
        self.page_max = 1000
        self.stream = None
        self.servers = []
        for kind in ("query", "admin"):
            server = UnixServer(os.path.join(directory, kind + ".sock"), Handler)
            server.kind = kind
            server.daemon_of_test = self
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            self.servers.append(server)

    def stop(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()
            os.unlink(server.server_address)
        self.servers = []

    def find(self, account, job_id):
        for one in self.jobs:
            if (one["account"], one["id"]) == (account, job_id):
                return one
        return None

    def reply(self, method, path, query, body, handler):
        route = self.routes.get((method, path))
        if callable(route):
            return route(query, body)
        if route:
            return route
        parts = [urllib.parse.unquote(p) for p in path.split("/")[1:]]
        if method == "GET" and path == "/v1/jobs":
            return self.list_jobs(query)
        if method == "GET" and parts[:2] == ["v1", "jobs"] and len(parts) == 4:
            found = self.find(parts[2], parts[3])
            return Reply(found) if found else problem(404, "No such job")
        if method == "GET" and path == "/v1/status":
            return Reply(self.status())
        if method == "GET" and path == "/v1/events":
            return self.stream(query, handler) if self.stream else self.list_events(query)
        return problem(404, "Nothing here", path)

    def status(self):
        last = self.events[-1]["seq"] if self.events else 0
        return {
            "version": "0.1.0", "uptime": 3723.5, "config_file": "/nowhere/bulkwatchd.yaml",
            "jobs": {"watched": 3, "finished": 2, "by_state": {"PENDING": 1, "COMPLETED": 2}},
            "accounts": [{"name": name, "state": "ok", "reason": None} for name in self.accounts],
            "hooks": [{"name": "load", "pending": 1, "dead": 0}],
            "database": {"state": "ok", "size": 4096}, "last_seq": last,
        }

    def list_jobs(self, query):
        known = {"account", "state", "finished", "name", "limit", "after"}
        if set(query) - known:
            return problem(400, "Unknown query parameter", ", ".join(set(query) - known))
        found = [
            one for one in self.jobs
            if one["watched"]
            and all(one[key] == query[key] for key in ("account", "state", "name") if key in query)
            and ("finished" not in query or one["finished"] == (query["finished"] == "true"))
        ]
        first = int(query.get("after", 0))
        limit = min(int(query.get("limit", 100)), self.page_max)
        page = found[first:first + limit]
        more = first + limit < len(found)
        return Reply({"jobs": page, "next": str(first + limit) if more else None, "last_seq": 7})

    def list_events(self, query):
        after = int(query.get("after", 0))
        lines = [json.dumps(one) for one in self.events if one["seq"] > after]
        body = "".join(line + "\n" for line in lines[:self.page_max]).encode()
        return Reply(body, kind="application/x-ndjson")
