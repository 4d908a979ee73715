"""Mosquitto acknowledges before it saves: a kill -9 of it is not promised, so it gets SIGTERM restarts."""

import pytest
from numbered import CONFIG, check, publish_while
from processes import answers, command, until


@pytest.mark.parametrize("victim", ["mosquitto", "ingest"])
def test_mosquitto_restarts_and_kill_9_of_ingest(mosquitto, database, tmp_path, free_port, victim) -> None:
    (tmp_path / "city.toml").write_text(CONFIG)
    port = str(free_port())
    options = [
        "ingest",
        "--config",
        str(tmp_path / "city.toml"),
        "--mqtt-url",
        mosquitto.url,
        "--metrics-port",
        port,
    ]
    secret = {"CITYBROKER_DATABASE_URL": database.ingest, "XDG_STATE_HOME": str(tmp_path / "state")}
    running = []

    def start() -> None:
        manager = command(*options, log=tmp_path / "ingest.log", **secret)
        running.append((manager, manager.__enter__()))

    def disturb() -> None:
        if victim == "mosquitto":
            mosquitto.restart()
        else:
            running[-1][1].kill()
            start()

    start()
    try:
        wait_for_subscription(port)
        outcome = publish_while(mosquitto.url, disturb)
        check(database.owner, outcome)
    finally:
        for manager, _ in running:
            manager.__exit__(None, None, None)


def wait_for_subscription(port: str) -> None:
    until(lambda: answers(f"http://127.0.0.1:{port}/health/ready"), "ingest is ready")
