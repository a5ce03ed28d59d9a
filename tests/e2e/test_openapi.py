#!/usr/bin/env python3
"""The description of the API against the program: every route, and what each really answers."""

import json
import re
import unittest

from harness import ROOT, TestCase, ask, wait_for

ROUTE = re.compile(r'\{LISTEN_(\w+),\s*"([^"]+)",\s*DOOR_(\w+),\s*\w+,\s*"([^"]*)"\s*\}')
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
KEYWORDS = {"type", "properties", "required", "items", "enum", "oneOf", "additionalProperties",
            "$ref", "description", "format", "pattern", "minimum", "maximum", "minLength",
            "maxLength", "default"}
LIVES = [{"id": "1-999", "life": [{"state": "ADDED"}]},
         {"id": "1000-1999", "life": [{"state": "ADDED", "polls": 1}, {"state": "COMPLETED"}]},
         {"id": "2000-2999", "life": [{"state": "FAILURE"}]},
         {"id": "3000-3999", "life": [{"fault": "not_found"}]}]
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


# ---- a validator of JSON Schema, as far as the document uses it ----


def is_of_type(value, name):
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


class Validator:
    """problems() lists what is wrong. A member that an object's schema does not name is wrong too,
    unless the schema lets others in: what is answered and not described is a fault here."""

    def __init__(self, document):
        self.document = document

    def resolve(self, reference):
        node = self.document
        for piece in reference.removeprefix("#/").split("/"):
            node = node[piece.replace("~1", "/").replace("~0", "~")]
        return node

    def of_object(self, schema, value, at):
        known = schema.get("properties", {})
        others = schema.get("additionalProperties", False)
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{at}: {name} is missing"
        for name, member in value.items():
            if name in known:
                yield from self.problems(known[name], member, f"{at}.{name}")
            elif others is False:
                yield f"{at}: {name} is not described"
            elif others is not True:
                yield from self.problems(others, member, f"{at}.{name}")

    def of_scalar(self, schema, value, at):
        if isinstance(value, str):
            if "pattern" in schema and not re.search(schema["pattern"], value):
                yield f"{at}: {value!r} is not as {schema['pattern']}"
            if schema.get("format") == "date-time" and not TIME.fullmatch(value):
                yield f"{at}: {value!r} is no time"
            if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1 << 30):
                yield f"{at}: {value!r} has a wrong length"
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
                yield f"{at}: {value} is out of range"

    def problems(self, schema, value, at="$"):
        if unknown := set(schema) - KEYWORDS:
            yield f"{at}: the validator does not know {unknown}"
        if "$ref" in schema:
            yield from self.problems(self.resolve(schema["$ref"]), value, at)
            return
        if "oneOf" in schema:
            found = [list(self.problems(one, value, at)) for one in schema["oneOf"]]
            if sum(not problems for problems in found) != 1:
                yield f"{at}: not exactly one of {len(found)}: {found}"
            return
        types = schema.get("type", [])
        types = types if isinstance(types, list) else [types]
        if types and not any(is_of_type(value, name) for name in types):
            yield f"{at}: {value!r} is not of type {types}"
        elif "enum" in schema and value not in schema["enum"]:
            yield f"{at}: {value!r} is none of {schema['enum']}"
        elif isinstance(value, dict) and ("properties" in schema
                                          or "additionalProperties" in schema):
            yield from self.of_object(schema, value, at)
        elif isinstance(value, list) and "items" in schema:
            for i, item in enumerate(value):
                yield from self.problems(schema["items"], item, f"{at}[{i}]")
        else:
            yield from self.of_scalar(schema, value, at)


class ValidatorItself(unittest.TestCase):
    """It must see what is wrong, else it proves nothing."""

    SCHEMA = {"type": "object", "required": ["id"], "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"}, "n": {"type": ["integer", "null"]},
        "list": {"type": "array", "items": {"$ref": "#/s/Word"}},
        "at": {"type": "string", "format": "date-time"},
        "one": {"oneOf": [{"$ref": "#/s/Word"}, {"type": "null"}]}}}
    DOCUMENT = {"s": {"Word": {"type": "string", "enum": ["a", "b"]}}}

    def wrong(self, value):
        return list(Validator(self.DOCUMENT).problems(self.SCHEMA, value))

    def test_right(self):
        for value in ({"id": "1"}, {"id": "1", "n": None, "list": ["a", "b"], "one": None},
                      {"id": "2", "n": 3, "one": "a", "at": "2026-11-24T05:00:00.123Z"}):
            self.assertEqual(self.wrong(value), [])

    def test_wrong(self):
        for value in ({}, [], {"id": 1}, {"id": "x"}, {"id": "1", "n": 1.5}, {"id": "1", "n": True},
                      {"id": "1", "list": ["c"]}, {"id": "1", "list": [1]}, {"id": "1", "more": 1},
                      {"id": "1", "one": "c"}, {"id": "1", "at": "yesterday"}):
            self.assertTrue(self.wrong(value), value)


# ---- the document and the table of routes ----


def routes():
    """{(method, path): (is_admin, {parameters})} of the table in control.c."""
    text = (ROOT / "src" / "daemon" / "control.c").read_text()
    return {(method.lower(), path): (door == "ADMIN", set(parameters.split()))
            for method, path, door, parameters in ROUTE.findall(text)}


class Document(TestCase):
    def setUp(self):
        super().setUp()
        self.sim = self.stage.sim("--admin", script={"jobs": LIVES})
        hooks = {"load": self.stage.hook("load", on=["*"]),
                 "sick": {"exec": ["/bin/false"], "attempts": 1}}
        self.stage.config({"acme": self.stage.account(
            [{"id": "1", "name": "nightly"}, "1000", "2000"])}, hooks=hooks)
        self.daemon = self.stage.start()
        reply = self.daemon.get("/v1/openapi.json")
        self.assertEqual((reply.status, reply.content_type), (200, "application/json"))
        self.document = reply.json()
        self.validator = Validator(self.document)
        self.seen = set()

    def operation(self, method, template):
        return self.document["paths"][template][method]

    def check(self, method, template, target, status, body=None, path=None, **more):
        """Asks, and holds the answer against what is described for it."""
        reply = ask(path or self.daemon.admin, method.upper(), target, body=body, **more)
        self.assertEqual(reply.status, status, (target, reply.data))
        described = self.operation(method, template)["responses"]
        self.assertIn(str(status), described, (method, template))
        content = described[str(status)].get("content", {})
        if not content:
            self.assertEqual(reply.data, b"")
        else:
            kind = reply.content_type.partition(";")[0]
            self.assertIn(kind, content)
            self.validate(content[kind]["schema"], kind, reply, target)
        self.seen.add((method, template))
        return reply

    def validate(self, schema, kind, reply, target):
        if kind == "application/x-ndjson":
            values = reply.lines()
        elif kind.endswith("json"):
            values = [reply.json()]
        else:
            return
        for value in values:
            self.assertEqual(list(self.validator.problems(schema, value)), [], target)

    def test_the_document_is_of_this_program(self):
        self.assertRegex(self.document["openapi"], r"^3\.1\.")
        self.assertEqual(self.document["info"]["version"], self.daemon.status()["version"])
        table = routes()
        described = {(method, path): operation for path, item in self.document["paths"].items()
                     for method, operation in item.items()}
        self.assertGreater(len(table), 20)
        self.assertEqual(set(described), set(table))
        for route, (is_admin, parameters) in table.items():
            operation = described[route]
            with self.subTest(route=route):
                named = {where: {p["name"] for p in operation.get("parameters", [])
                                 if p["in"] == where} for where in ("query", "path")}
                self.assertEqual(named["query"], parameters)
                self.assertEqual(named["path"], set(re.findall(r"\{(\w+)\}", route[1])))
                self.assertEqual("admin.sock" in operation.get("description", ""), is_admin)
        names = [operation["operationId"] for operation in described.values()]
        self.assertEqual(len(names), len(set(names)))

    def test_every_reference_leads_somewhere(self):
        text = json.dumps(self.document)
        used = set(re.findall(r'"\$ref": "([^"]+)"', text))
        for reference in used:
            self.assertIsInstance(self.validator.resolve(reference), dict)
        self.assertEqual(used, {f"#/components/schemas/{name}" for name
                                in self.document["components"]["schemas"]})

    def test_real_answers(self):
        daemon, check = self.daemon, self.check
        daemon.wait_finished(2)
        daemon.wait_delivered()
        wait_for(lambda: daemon.events("&type=hook.dead"), "a dead letter")
        job = "/v1/jobs/{account}/{id}"
        check("get", "/v1/status", "/v1/status", 200)
        check("get", "/v1/jobs", "/v1/jobs?limit=2", 200)
        check("get", "/v1/jobs", "/v1/jobs?limit=0", 400)
        check("get", "/v1/jobs", "/v1/jobs?account=nobody", 404)
        for job_id in ("1", "1000", "2000"):
            check("get", job, f"/v1/jobs/acme/{job_id}", 200)
            check("get", job + "/history", f"/v1/jobs/acme/{job_id}/history", 200)
            check("get", job + "/why", f"/v1/jobs/acme/{job_id}/why", 200)
        check("get", job, "/v1/jobs/acme/5", 404)
        check("get", job + "/wait", "/v1/jobs/acme/1000/wait", 200)
        check("get", job + "/wait", "/v1/jobs/acme/1/wait?timeout=10ms", 200)
        for name in ("accounts", "hooks", "plan", "openapi.json"):
            check("get", f"/v1/{name}", f"/v1/{name}", 200)
        check("get", "/metrics", "/metrics", 200)
        check("get", "/v1/config", "/v1/config", 200)
        check("get", "/v1/backup", "/v1/backup", 200)
        events = check("get", "/v1/events", "/v1/events", 200).lines()
        self.assertIn("hook.dead", {event["type"] for event in events})
        check("get", "/v1/events", "/v1/events?type=nonsense", 400)
        check("get", "/v1/events", "/v1/events?limit=1", 200,
              headers={"Accept": "text/event-stream"})
        self.check_deliveries()
        self.check_changes()
        self.check_paused()
        self.assertEqual(self.seen, {(method, path) for path, item
                                     in self.document["paths"].items() for method in item})

    def check_deliveries(self):
        deliveries = self.check("get", "/v1/deliveries", "/v1/deliveries", 200).json()["deliveries"]
        states = {delivery["state"] for delivery in deliveries}
        self.assertLessEqual({"delivered", "dead"}, states)
        one = "/v1/deliveries/{id}"
        for state, status in (("dead", 202), ("delivered", 409)):
            which = next(d["id"] for d in deliveries if d["state"] == state)
            self.check("get", one, f"/v1/deliveries/{which}", 200)
            self.check("post", one + "/retry", f"/v1/deliveries/{which}/retry", status)
        self.check("get", one, "/v1/deliveries/99999", 404)
        self.check("post", "/v1/hooks/{name}/test", "/v1/hooks/load/test", 200)
        self.check("post", "/v1/hooks/{name}/test", "/v1/hooks/nobody/test", 404)
        self.check("post", "/v1/hooks/{name}/replay", "/v1/hooks/load/replay", 200, {"since": 1})
        self.check("post", "/v1/hooks/{name}/replay", "/v1/hooks/load/replay", 400, {"until": 1})

    def check_changes(self):
        job = "/v1/jobs/{account}/{id}"
        wish = {"account": "acme", "id": "7"}
        self.check("post", "/v1/jobs", "/v1/jobs", 201, wish)
        self.check("post", "/v1/jobs", "/v1/jobs", 200, wish)
        self.check("post", "/v1/jobs", "/v1/jobs", 400, {"id": "7"})
        for verb in ("poll", "pause", "resume"):
            self.check("post", f"{job}/{verb}", f"/v1/jobs/acme/7/{verb}", 202)
            self.check("post", f"{job}/{verb}", f"/v1/jobs/acme/8/{verb}", 404)
        self.check("delete", job, "/v1/jobs/acme/7", 204)
        self.check("delete", job, "/v1/jobs/acme/7", 404)
        self.check("get", job + "/why", "/v1/jobs/acme/7/why", 200)
        self.check("post", "/v1/reload", "/v1/reload", 200)
        good = self.stage.config_file.read_text()
        self.stage.config_file.write_text("nonsense: 1\n")
        self.check("post", "/v1/reload", "/v1/reload", 422)
        self.stage.config_file.write_text(good)

    def check_paused(self):
        """Errors of jobs and accounts, and events of accounts, on which members are not null."""
        self.sim.admin("POST", "/jobs", {"jobs": [{"id": "1", "life": [
            {"fault": "invalid_token"}]}]})
        wait_for(lambda: self.daemon.account("acme")["state"] == "paused", "the pause")
        self.check("get", "/v1/accounts", "/v1/accounts", 200)
        self.check("get", "/v1/jobs/{account}/{id}", "/v1/jobs/acme/1", 200)
        self.check("get", "/v1/jobs/{account}/{id}/why", "/v1/jobs/acme/1/why", 200)
        events = self.check("get", "/v1/events", "/v1/events?type=account.*", 200).lines()
        self.assertEqual(events[0]["data"]["state"], "paused")


if __name__ == "__main__":
    unittest.main(verbosity=2)
