"""The push door: messages of devices that can only speak HTTP, handed to the MQTT broker.

`POST /in/{source}` or `/in/{source}/{device}` is published with QoS 1 on `in/{source}/{device}`, in an envelope
(`ingest.envelope`), and answered 202 once the broker has acknowledged it: from there on it is a message like any
other. Errors are problem documents, https://www.rfc-editor.org/rfc/rfc9457. What it takes: docs/door.md.
"""

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import orjson
import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from anpr.strip import strip
from broker import modules, settings
from broker.config import Config
from broker.errors import BadMessage
from broker.metrics import DOOR_REQUESTS, DOOR_SECONDS
from broker.model import Source
from ingest import credentials
from ingest.body import Body, Refused, content, read
from ingest.envelope import seal
from ingest.publisher import BrokerAway, Publisher

log = structlog.get_logger()

METHODS = ["GET", "POST", "PUT"]
PICTURES = 16 << 20
"""Bytes that a camera's message may have beside what is read of it; they go no further."""
ACKNOWLEDGED_WITHIN = 10.0
"""Seconds that the MQTT broker has to acknowledge a message."""
BURST = 10.0
"""Seconds' worth of messages that may come at once."""
LONGEST_NAME = 256


def sources(config: Config) -> dict[str, Source]:
    """The sources that the door serves: those whose topic is `in/NAME/+` or `in/NAME/#`."""
    found = {source.name: source for source in config.sources()}
    return {name: one for name, one in found.items() if one.topic in {f"in/{name}/+", f"in/{name}/#"}}


def create(config: Config, publisher: Publisher) -> Starlette:
    """Make the application, to be mounted at `/in`. Raises BadConfig where a token's file cannot be read."""
    door = _Door(sources(config), publisher)
    routes = [
        Route("/{source}", door.push, methods=METHODS),
        Route("/{source}/{device:path}", door.push, methods=METHODS),
    ]
    app = Starlette(routes=routes, exception_handlers={Refused: _refused, HTTPException: _http, Exception: _ours})
    app.router.redirect_slashes = False
    return app


class _Door:
    """What the requests of one application share: sources, their tokens and their rates."""

    def __init__(self, served: Mapping[str, Source], publisher: Publisher) -> None:
        self._sources = served
        self._publisher = publisher
        self._tokens = {name: settings.tokens(name) for name in served}
        self._rates = {name: Rate(source.rate) for name, source in served.items()}
        self._cameras = modules.load("anpr.cameras")
        for name in (name for name, tokens in self._tokens.items() if not tokens):
            log.warning("door: nobody may push to this source: it has no token", source=name)

    async def push(self, request: Request) -> Response:
        """Take one message in."""
        began = time.monotonic()
        name = request.path_params["source"]
        status = 500
        try:
            response = await self._push(request, name)
            status = response.status_code
        except Refused as error:
            status = error.status
            raise
        finally:
            DOOR_REQUESTS.labels(name if name in self._sources else "", str(status)).inc()
        DOOR_SECONDS.observe(time.monotonic() - began)
        return response

    async def _push(self, request: Request, name: str) -> Response:
        source = self._sources.get(name)
        if source is None:
            raise Refused(404, f"no source {name[:80]} with the topic in/{name[:80]}/+")
        if request.method == "HEAD" or request.scope.get("citybroker.head"):
            raise Refused(405, "HEAD brings no message", {"Allow": ", ".join(METHODS)})
        credentials.check(request, self._tokens[name])
        if wait := self._rates[name].wait(time.monotonic()):
            detail = f"more than {source.rate:g} messages a second"
            raise Refused(429, detail, {"Retry-After": str(int(wait) + 1)})
        if not self._publisher.connected:
            raise _away()
        identity, part = _named(request, source.identity), _named(request, source.part)
        device = request.path_params.get("device", "").strip("/")
        body = content(request, await read(request, source.max_bytes + (PICTURES if source.camera else 0)))
        if (body.type or "").startswith("multipart/") and not source.camera:
            raise Refused(415, "multipart bodies are for cameras, expected the message itself")
        payload = await run_in_threadpool(self._stripped, body, source) if source.camera else body.payload
        sealed = seal(payload, content_type=body.type, identity=identity or _name(device, "path"), part=part)
        await self._publish(f"in/{name}/{quote(identity or device or name, safe='')}", sealed)
        return Response(status_code=202)

    def _stripped(self, body: Body, source: Source) -> bytes:
        """What the camera's decoder reads of it; its pictures go no further."""
        try:
            return strip(body.payload, self._cameras[source.camera or ""], source.options)
        except BadMessage as error:
            text = str(error)
        except Exception as error:  # noqa: BLE001 - the text of any other could hold a plate
            text = f"it cannot be read: {type(error).__name__}"
        raise Refused(400, text)

    async def _publish(self, topic: str, payload: bytes) -> None:
        try:
            async with asyncio.timeout(ACKNOWLEDGED_WITHIN):
                await asyncio.wrap_future(self._publisher.publish(topic, payload))
        except (BrokerAway, TimeoutError):
            raise _away() from None


class Rate:
    """So many messages a second on average, ten seconds' worth of them at once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._most = max(1.0, BURST * rate)
        self._left = self._most
        self._at = 0.0

    def wait(self, now: float) -> float:
        """Take one message, and return 0; if there is none left, the seconds until there is."""
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0


def _named(request: Request, where: str | None) -> str | None:
    """What stands where the source says that it does; None where it says nothing. Raises Refused."""
    if where is None:
        return None
    kind, _, key = where.partition(":")
    match kind:
        case "header":
            found = request.headers.get(key)
        case "query":
            found = request.query_params.get(key)
        case _:
            found = request.path_params.get("device", "").strip("/")
    if not found or not found.strip():
        raise Refused(400, f"{where}: missing, and the source takes the identity or part from there")
    return _name(found.strip(), where)


def _name(found: str, where: str) -> str | None:
    if len(found) > LONGEST_NAME or not found.isprintable():
        raise Refused(400, f"{where}: expected at most {LONGEST_NAME} printable characters")
    return found or None


def _away() -> Refused:
    return Refused(503, "the MQTT broker is away or slow, try again soon", {"Retry-After": "5"})


def _problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    text = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    kept = {"Cache-Control": "no-store", **(headers or {})}
    return Response(orjson.dumps(text), status, headers=kept, media_type="application/problem+json")


def _refused(_: Request, error: Any) -> Response:
    return _problem(error.status, error.detail, error.headers)


def _http(_: Request, error: Any) -> Response:
    headers = {**(error.headers or {})}
    return _problem(error.status_code, str(error.detail), headers)


def _ours(_: Request, error: Exception) -> Response:
    if isinstance(error, ClientDisconnect):
        return _problem(400, "the request ended before its body did")
    log.error("a push failed", error=type(error).__name__)
    return _problem(500, "something went wrong here")
