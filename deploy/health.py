"""The operations endpoint of a role: `/metrics`, `/health/live`, `/health/ready`; and of many roles as one.

A thread of its own answers, also while the role still waits for its database or broker.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import http.client
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from broker import metrics
from broker.readiness import Readiness

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OF_PROCESS = ("process_", "python_")
"""Families of each process; all others belong to one role, or are sums over the processes of a role."""

Peers = Mapping[str, int]
"""Role: port of its endpoint on 127.0.0.1."""


@contextmanager
def endpoint(port: int, readiness: Readiness, host: str = "127.0.0.1") -> Iterator[int]:
    """Serve the three addresses in the background; yield the port (a free one for 0)."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # sums of them would say nothing
    with ThreadingHTTPServer((host, port), partial(_Answer, readiness)) as server:
        Thread(target=server.serve_forever, args=(0.1,), name="health", daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


class _Answer(BaseHTTPRequestHandler):
    """One request of a scraper or an orchestrator."""

    protocol_version = "HTTP/1.1"

    def __init__(self, readiness: Readiness, *arguments: Any) -> None:
        self.readiness = readiness
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Answer, or 404."""
        match self.path.partition("?")[0]:
            case "/metrics":
                self._send(200, TEXT, metrics.render())
            case "/health/live":
                self._send_json(200, {"status": "live"})
            case "/health/ready":
                missing = self.readiness.missing()
                self._send_json(503 if missing else 200, ready_body(missing))
            case _:
                self._send_json(404, {"status": "there are /metrics, /health/live and /health/ready"})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature of http.server
        """Scrapes are not worth a line."""

    def _send_json(self, status: int, body: Mapping[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(body).encode())

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        with suppress(ConnectionError):  # who asked has hung up
            self.end_headers()
            self.wfile.write(body)


def ready_body(missing: Mapping[str, str]) -> dict[str, Any]:
    """The body of `/health/ready`: a status, and what is missing by name."""
    return {"status": "waiting" if missing else "ready", "missing": dict(missing)}


class Together(Readiness):
    """The readiness of a role and of its peers, as one; what is set is the role's own."""

    def __init__(self, peers: Peers, own: Readiness) -> None:
        super().__init__()
        self._peers = peers
        self._own = own

    def set(self, name: str, why_not: str | None) -> None:
        """Say that `name` of this role is met (None), or what it lacks."""
        self._own.set(name, why_not)

    def missing(self) -> dict[str, str]:
        """What this role and its peers lack; a peer that does not answer is missing itself."""
        found = self._own.missing()
        for role, port in self._peers.items():
            found.update(peer_missing(role, port))
        return found


def peer_missing(role: str, port: int) -> dict[str, str]:
    """{name: what it lacks} of the role that answers at `port` of this machine."""
    try:
        _, body = _ask(port, "/health/ready")
        missing: dict[str, str] = json.loads(body)["missing"]
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return {role: "does not answer"}
    return {name if name.startswith(role) else f"{role}: {name}": text for name, text in missing.items()}


def status(port: int, path: str) -> int | None:
    """The HTTP status of `path` at `port` of this machine; None without an answer."""
    try:
        return _ask(port, path)[0]
    except (OSError, http.client.HTTPException):
        return None


def values(port: int) -> dict[str, float]:
    """The samples without labels of the role that answers at `port`; empty if none does."""
    try:
        _, body = _ask(port, "/metrics")
    except (OSError, http.client.HTTPException):
        return {}
    families = text_string_to_metric_families(body.decode())
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def render_together(role: str, peers: Peers) -> bytes:
    """The metrics of this process and of its peers, as one text; a peer that is away is left out.

    Families of the project appear once (sums over processes), those of a process with a label `role`.
    """
    texts = {role: metrics.render()}
    for name, port in peers.items():
        try:
            status, body = _ask(port, "/metrics")
        except (OSError, http.client.HTTPException):
            continue
        if status == 200:
            texts[name] = body
    return generate_latest(_registry(_merge(texts)))


def _ask(port: int, path: str) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=2)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


def _registry(families: Iterable[Metric]) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(families))
    return registry


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families

    def describe(self) -> Iterable[Metric]:
        return []


def _merge(texts: Mapping[str, bytes]) -> list[Metric]:
    families: dict[str, Metric] = {}
    for role, text in texts.items():
        for family in text_string_to_metric_families(text.decode()):
            known = families.setdefault(family.name, _without_samples(family))
            known.samples += _of_role(family, role) if family.name.startswith(OF_PROCESS) else family.samples
    return [_summed(family) for family in families.values()]


def _without_samples(family: Metric) -> Metric:
    return Metric(family.name, family.documentation, family.type, family.unit)


def _of_role(family: Metric, role: str) -> list[Any]:
    return [sample._replace(labels={**sample.labels, "role": role}) for sample in family.samples]


def _summed(family: Metric) -> Metric:
    """Samples of the same name and labels become one: every process counts its own part."""
    sums: dict[tuple[Any, ...], Any] = {}
    for sample in family.samples:
        key = (sample.name, *sorted(sample.labels.items()))
        value = sample.value + (sums[key].value if key in sums else 0)
        sums[key] = sample._replace(value=value)
    family.samples = list(sums.values())
    return family
