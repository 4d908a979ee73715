"""The web application: outputs, pages, health and metrics, and errors as problem documents."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as Event

from broker import modules
from broker.config import Config
from broker.errors import BadConfig, StoreUnavailable
from broker.metrics import REQUESTS
from broker.model import Message
from broker.readiness import Readiness
from broker.store.database import Database
from opendata.catalogue import Catalogue
from opendata.portal import pages
from opendata.problems import Problem, problem

CONNECTIONS = 16
PATIENCE = 2.0
"""Seconds that a request waits for the store before it says that the store is away."""
METHODS = "GET, HEAD, OPTIONS"

log = structlog.get_logger()


def create(
    config: Config,
    *,
    database_url: str,
    readiness: Readiness,
    submit: Callable[[Message], None] | None,
    metrics: Callable[[], bytes],
    public_url: str | None = None,
) -> FastAPI:
    """Make the application. `submit` takes what writable outputs are given; None: there is no ingest.

    `public_url` is the address that answers name; without it, the one that was asked.
    """
    database = Database(database_url, size=CONNECTIONS, role="citybroker_serve", timeout=PATIENCE)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        database.close()

    app = FastAPI(
        title=f"{config.city.name}: open data",
        description="Observations of the city's sensors, and what may be told of its cameras.",
        version="1",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    door = Catalogue(config, database, (public_url or "").rstrip("/"))
    catalogue = _door(door)
    for output in modules.load("opendata.outputs").values():
        app.include_router(output.router(catalogue, submit or _refuse))
    app.include_router(pages.router(catalogue))
    _operate(app, readiness, metrics)
    _explain(app)
    _surround(app)
    return app


def _surround(app: FastAPI) -> None:
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "HEAD", "OPTIONS"],
        allow_headers=["*"],
        expose_headers=["ETag", "Link", "Retry-After"],
    )
    app.add_middleware(Methods)
    app.add_middleware(Timing)


def _door(door: Catalogue) -> Callable[[Request], Catalogue]:
    def catalogue(request: Request) -> Catalogue:
        base = door.base or str(request.base_url).rstrip("/")
        return Catalogue(door.config, door.database, base, door.exports, door.charts)

    return catalogue


def _refuse(_: Message) -> None:
    raise Problem(503, "nothing takes messages here")


def _operate(app: FastAPI, readiness: Readiness, metrics: Callable[[], bytes]) -> None:
    @app.get("/health/live", tags=["operation"])
    def live() -> dict[str, bool]:
        """Say that the process answers."""
        return {"live": True}

    @app.get("/health/ready", tags=["operation"])
    def ready() -> JSONResponse:
        """Say whether all is ready, and name what is not (503)."""
        missing = readiness.missing()
        return JSONResponse({"ready": not missing, "missing": missing}, 503 if missing else 200)

    @app.get("/metrics", tags=["operation"], response_class=Response)
    def show_metrics() -> Response:
        """Give the metrics in Prometheus' text format."""
        return Response(metrics(), media_type=CONTENT_TYPE_LATEST)


def _explain(app: FastAPI) -> None:
    """Say every error as a problem document."""

    def of_caller(_: Request, error: Problem) -> Response:
        return error.response()

    def of_http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if headers.get("allow", headers.get("Allow")) == "GET":
            headers = {"Allow": METHODS}
        detail = {404: f"there is nothing at {request.url.path}", 405: f"{request.method} is not possible here"}
        return problem(error.status_code, detail.get(error.status_code, str(error.detail)), headers=headers)

    def of_input(_: Request, error: RequestValidationError) -> Response:
        return _invalid(error)

    def of_store(_: Request, error: StoreUnavailable | BadConfig) -> Response:
        log.warning("the store is away", error=str(error))
        return problem(503, "the store is away, try again soon", headers={"Retry-After": "5"})

    def of_ours(_: Request, error: Exception) -> Response:
        log.error("a request failed", error=type(error).__name__)
        return problem(500, "something went wrong here")

    handlers: dict[type[Exception], Callable[..., Response]] = {
        Problem: of_caller,
        HTTPException: of_http,
        RequestValidationError: of_input,
        StoreUnavailable: of_store,
        BadConfig: of_store,
        Exception: of_ours,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _invalid(error: RequestValidationError) -> Response:
    """Name the first parameter that is wrong; 422 is for a body that is well-formed and still wrong."""
    first: dict[str, Any] = error.errors()[0]
    place, *names = first["loc"]
    name = ".".join(str(one) for one in names)
    if place == "body":
        return problem(422, f"{name}: {first['msg']}" if name else str(first["msg"]))
    return problem(400, f"parameter {name}: {first['msg']}", parameter=name)


class Methods:
    """HEAD is GET without its body; OPTIONS says what there is."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle HEAD and plain OPTIONS; anything else passes."""
        if scope["type"] != "http" or scope["method"] not in {"HEAD", "OPTIONS"}:
            await self.app(scope, receive, send)
        elif scope["method"] == "HEAD":
            await self.app({**scope, "method": "GET", "citybroker.head": True}, receive, _headers_only(send))
        elif any(key == b"access-control-request-method" for key, _ in scope["headers"]):
            await self.app(scope, receive, send)
        else:
            allowed = {"Allow": METHODS, "Access-Control-Allow-Origin": "*"}
            await Response(status_code=204, headers=allowed)(scope, receive, send)


def _headers_only(send: Send) -> Send:
    async def headers_only(event: Event) -> None:
        if event["type"] == "http.response.body":
            event = {**event, "body": b""}
        await send(event)

    return headers_only


class Timing:
    """Measures the time to the first byte by route."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and note when the answer begins."""
        began = time.perf_counter()

        async def timed(event: Event) -> None:
            if event["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                REQUESTS.labels(route, str(event["status"])).observe(time.perf_counter() - began)
            await send(event)

        await self.app(scope, receive, timed if scope["type"] == "http" else send)
