"""The demo's simulated devices, as children of `demo`: `history`, which ends, and `live`, which does not."""

import os
import sys
from pathlib import Path

from rich.console import Console

from deploy import demo, logs, signals

MQTT_URL = "CITYBROKER_MQTT_URL"
MARK = "CITYBROKER_DEMO_MARK"
"""A file that keeps how far the devices have come, so that a second start continues."""


def main(part: str) -> None:
    """Publish to the broker that the environment names."""
    logs.configure(part)
    stop = signals.stop_event(part)
    url, mark = os.environ[MQTT_URL], Path(os.environ[MARK])
    since = demo.history(url, mark=mark, console=Console() if part == "history" else None, stop=stop)
    if part == "live":
        demo.live(url, stop, since=since, mark=mark)


if __name__ == "__main__":
    main(sys.argv[1])
