"""The demo's simulated devices, as a child of `demo`: a day of history, then live until told to stop."""

import os
from pathlib import Path

from rich.console import Console

from deploy import demo, logs, signals

MQTT_URL = "CITYBROKER_MQTT_URL"
MARK = "CITYBROKER_DEMO_MARK"
"""A file that keeps how far the devices have come, so that a second start continues."""


def main() -> None:
    """Publish to the broker that the environment names."""
    logs.configure("devices")
    stop = signals.stop_event("devices")
    url, mark = os.environ[MQTT_URL], Path(os.environ[MARK])
    since = demo.history(url, mark=mark, console=Console(), stop=stop)
    demo.live(url, stop, since=since, mark=mark)


if __name__ == "__main__":
    main()
