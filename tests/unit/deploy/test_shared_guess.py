"""`citybroker guess` on the samples that the work started from."""

import csv
from pathlib import Path

import pytest

from broker import modules
from deploy.guess import guess

SAMPLES = Path(__file__).parents[4] / "shared" / "samples"
OF = {
    "axis-lpv": "axis", "chirpstack-v4": "chirpstack_v4", "cloudevents-mqtt": "cloudevents", "dahua": "dahua",
    "fiware-iota-json": "fiware_iota_json", "fiware-ultralight": "fiware_ultralight", "hikvision-isapi": "hikvision",
    "libelium-meshlium": "meshlium", "milesight-lpr": "milesight", "netatmo": "netatmo", "senml": "senml",
    "sensor-community-archive": "sensor_community", "airrohr": "sensor_community", "sensorthings-mqtt": "sensorthings",
    "tasmota": "tasmota", "telraam": "telraam", "tts-v3": "tts_v3", "weewx-davis": "weewx", "zigbee2mqtt": "zigbee2mqtt",
    "amsterdam-telcamera": "people_counter", "frigate": "frigate", "tattile": "tattile", "lilin-lpr": "lilin",
    "amsterdam-travel-time": "travel_time", "datex2-travel-time": "datex2_travel_time",
}  # fmt: skip
"""The folder's format or camera."""
KNOWN = {*modules.load("ingest.formats"), *modules.load("anpr.cameras")}


def cases():
    with (SAMPLES / "INDEX.tsv").open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if OF.get(row["format"]) in KNOWN and row["outcome"] != "refused":
                yield pytest.param(row["file"], row["mqtt topic"], OF[row["format"]], id=row["file"])


@pytest.mark.parametrize(("file", "topic", "name"), list(cases()))
def test_the_best_guess_is_right(file, topic, name):
    found = guess((SAMPLES / file).read_bytes(), topic or None)
    assert [one.name for one in found][:1] == [name]
