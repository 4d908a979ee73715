"""The push door, put together: beside the API in one process, or alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from starlette.applications import Starlette
from starlette.routing import Mount

from broker.config import Config
from broker.errors import BadConfig
from broker.readiness import Readiness
from ingest import http
from ingest.publisher import Publisher

PATH = "/in"

log = structlog.get_logger()


@contextmanager
def mounted(app: Starlette, config: Config, mqtt_url: str, readiness: Readiness) -> Iterator[None]:
    """Have the door at `/in` of `app` while the block runs. Raises BadConfig."""
    publisher = Publisher(mqtt_url, readiness)
    app.router.routes.insert(0, Mount(PATH, http.create(config, publisher)))
    publisher.start()
    try:
        yield
    finally:
        publisher.stop()


def alone(config: Config) -> Starlette:
    """Make an application for nothing but the door. Raises BadConfig where no source is the door's."""
    if not http.sources(config):
        raise BadConfig('no source is the push door\'s: give one the topic "in/NAME/+", with its own name')
    app = Starlette()
    app.router.redirect_slashes = False
    return app
