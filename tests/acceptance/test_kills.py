"""Whatever dies while 50,000 numbered messages are being published: nothing acknowledged is lost or doubled."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from numbered import CONFIG, COUNT, check, load, publish_while
from processes import City, up


@pytest.fixture
def city(tmp_path, free_port):
    with up(tmp_path, CONFIG, (free_port(), free_port())) as running:
        yield running


@pytest.mark.parametrize("child", ["ingest", "nats", "postgres"])
def test_kill_9_of_a_child_of_up(city: City, child: str) -> None:
    before = city.run["children"][child][0]
    outcome = publish_while(city.mqtt, lambda: city.kill(child))
    assert outcome.acknowledged > COUNT * 0.9
    assert city.run["children"][child][0] != before
    check(city.run["database"]["owner"], outcome)


def test_kill_9_of_up_itself_and_a_new_start(tmp_path, free_port) -> None:
    ports = free_port(), free_port()
    with ThreadPoolExecutor(1) as pool:
        with up(tmp_path, CONFIG, ports) as first:
            work = pool.submit(load, first.mqtt)
            time.sleep(3)
            first.process.kill()
            first.process.wait()
        with up(tmp_path, CONFIG, ports) as second:
            outcome = work.result(180 + COUNT / 1000)
            check(second.run["database"]["owner"], outcome)
