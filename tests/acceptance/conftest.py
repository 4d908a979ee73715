"""One city for each file of acceptance tests that asks for it: running, published to and read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import servers
from devices import Device, device
from processes import City, up
from reader import Reader, reader

CONFIG = Path(__file__).with_name("leiestad.toml").read_text()


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """`citybroker up` with the sources and feeds of leiestad.toml."""
    with up(tmp_path_factory.mktemp("city"), CONFIG, (servers.free_port(), servers.free_port())) as running:
        yield running


@pytest.fixture(scope="module")
def read(city: City) -> Iterator[Reader]:
    """Somebody who reads the city."""
    with reader(city) as one:
        yield one


@pytest.fixture(scope="module")
def sensor(city: City) -> Iterator[Device]:
    """A device that publishes to the city."""
    with device(city.mqtt) as one:
        yield one
