"""The API description is valid, complete, and true of live responses."""

from __future__ import annotations

import json
import random
import string
import time

import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate as validate_description

from engine.server.operations import SERVICES
from engine.server.routes import OPERATIONS, description
from tests.server_harness import Server, chain, running, settings_in, toy, write


@pytest_asyncio.fixture
async def server(tmp_path):
    async with running(settings_in(tmp_path, max_upload_bytes=1 << 20)) as found:
        yield found


def schema_of(operation: dict, status: int) -> dict | None:
    content = operation["responses"][str(status)].get("content", {})
    return content.get("application/json", {}).get("schema")


def check(document: dict, operation: dict, status: int, body: object, kind: str) -> None:
    """The status is documented, and a JSON body has the documented shape."""
    assert str(status) in operation["responses"], (operation["operationId"], status, body)
    schema = schema_of(operation, status)
    if schema is not None and kind == "application/json":
        whole = {**schema, "components": document["components"]}
        problems = list(Draft202012Validator(whole).iter_errors(body))
        assert problems == [], (operation["operationId"], status, problems[:2])


def test_the_description_is_valid_openapi():
    document = description()
    validate_description(document)
    assert document["openapi"] == "3.1.0"
    names = [item["operationId"] for path in document["paths"].values() for item in path.values()]
    assert len(names) == len(set(names)) == len(OPERATIONS)


async def test_every_mounted_native_route_is_described(server):
    from engine.server.app import create_app
    from engine.server.openapi import openapi_path

    app = create_app(server.engine.services)
    assert app[SERVICES] is server.engine.services
    mounted = {
        (route.method, openapi_path(route.resource.canonical))
        for route in app.router.routes()
        if route.resource.canonical.startswith("/api/v1") and route.method != "HEAD"
    }
    described = {(method.upper(), path) for path, item in description()["paths"].items() for method in item}
    assert mounted == described


async def test_the_served_description_is_the_generated_one(server):
    assert await server.call("GET", "/openapi.json") == (200, json.loads(json.dumps(description())))


class Sampler:
    """Makes values from JSON schemas, mostly fitting, sometimes not."""

    ODD = (
        None,
        True,
        -1,
        0,
        2**64,
        1e308,
        "",
        "x" * 3000,
        "../../etc/passwd",
        "\x00",
        "\ud800",
        [],
        {},
        [[[]]],
        {"a": {}},
    )

    def __init__(self, seed: int, names: list[str]) -> None:
        self.chance = random.Random(seed)
        self.names = names

    def value(self, schema: dict) -> object:
        if self.chance.random() < 0.12:
            return self.chance.choice(self.ODD)
        if "enum" in schema:
            return self.chance.choice(schema["enum"])
        kind = schema.get("type")
        kind = self.chance.choice(kind) if isinstance(kind, list) else kind
        low = schema.get("minimum", 0)
        high = min(schema.get("maximum", 100), low + 100)
        if kind == "integer":
            return self.chance.randint(int(low), int(high))
        if kind == "number":
            return round(self.chance.uniform(low, min(high, low + 0.05)), 3)
        if kind == "boolean":
            return self.chance.random() < 0.5
        if kind == "array":
            return [self.value(schema.get("items", {})) for _ in range(self.chance.randint(0, 3))]
        if kind == "object":
            return self.object(schema)
        return self.chance.choice([*self.names, "".join(self.chance.choices(string.printable, k=8))])

    def object(self, schema: dict) -> object:
        fields = schema.get("properties", {})
        found = {name: self.value(item) for name, item in fields.items() if self.chance.random() < 0.4}
        if self.chance.random() < 0.05:
            found["surprise"] = 1
        if "prompt" in fields and self.chance.random() < 0.7:
            found.pop("workflow", None)
            found["prompt"] = self.prompt()
        return found

    def prompt(self) -> object:
        return self.chance.choice(
            [toy("Show", text="x"), write("y"), chain(4), toy("Nope"), {}, {"1": 5}, toy("Sleep", seconds="x"),
             {"1": {"class_type": "Show", "inputs": {"after": ["1", 0]}}}, {"../x": {"class_type": "Show"}}]
        )  # fmt: skip


async def send(server: Server, sampler: Sampler, document: dict, path: str, method: str, operation: dict) -> float:
    chance = sampler.chance
    target, query, headers = path, {}, {}
    for parameter in operation.get("parameters", ()):
        value = sampler.value(parameter["schema"])
        text = value if isinstance(value, str) else json.dumps(value)
        text = text.encode("utf-8", "replace").decode()
        if parameter["in"] == "path":
            from urllib.parse import quote

            target = target.replace("{" + parameter["name"] + "}", quote(text, safe="") or "x")
        elif parameter["in"] == "query" and chance.random() < 0.5:
            query[parameter["name"]] = text
        elif parameter["in"] == "header" and chance.random() < 0.4:
            headers[parameter["name"]] = "".join(c for c in text if 32 <= ord(c) < 127)[:400]
    options: dict = {"params": query, "headers": headers}
    if "requestBody" in operation and chance.random() < 0.97:
        content = operation["requestBody"]["content"]
        if "application/json" in content:
            body = json.dumps(sampler.value(content["application/json"]["schema"]))
            options["data"] = body if chance.random() < 0.95 else body[: len(body) // 2]
            options["headers"] = {**headers, "Content-Type": "application/json"}
        else:
            import aiohttp

            form = aiohttp.FormData()
            form.add_field("subfolder", str(sampler.value({"type": "string"})).encode("utf-8", "replace").decode())
            form.add_field("file", b"data", filename=chance.choice(["a.png", "../x.png", "b.txt", "\u00fc.png"]))
            options["data"] = form
    from yarl import URL

    start = time.monotonic()
    async with server.session.request(method.upper(), URL(server.url + target, encoded=True), **options) as reply:
        kind = reply.content_type
        body = await reply.json() if kind == "application/json" else await reply.read()
        took_s = time.monotonic() - start
        if reply.status == 404 and isinstance(body, dict) and body["error"]["code"] == "http_404":
            return took_s  # the sampled parameter made another path
        allowed_503 = operation["operationId"] == "get_readiness"
        assert reply.status < 500 or allowed_503, (method, target, reply.status, body)
        check(document, operation, reply.status, body, kind)
    return took_s


@pytest.mark.parametrize(
    "num_generated", [pytest.param(1000, marks=pytest.mark.slow), pytest.param(5000, marks=pytest.mark.thorough)]
)
async def test_generated_requests_get_documented_answers(server, num_generated):
    document = description()
    jobs = [(await server.submit(prompt, wait=60))["id"] for prompt in (write("a"), toy("Show", text="b"))]
    assets = [asset["id"] for asset in (await server.call("GET", "/assets"))[1]]
    await server.call("PUT", "/workflows/first", json={"nodes": [], "links": []})
    sampler = Sampler(3, [*jobs, *assets, "first", "checkpoints", "Show", "1", "input", "new%20one"])
    operations = [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if operation["operationId"] != "wait_for_job"
    ]
    times = []
    for number in range(num_generated):
        path, method, operation = operations[number % len(operations)]
        times.append(await send(server, sampler, document, path, method, operation))
    assert len(times) == num_generated
    assert (await server.call("GET", "/system/health"))[0] == 200
