"""Secrets come from the environment or from files, and are shown nowhere."""

import pytest

from broker import settings
from broker.errors import BadConfig

NAMES = ["DATABASE_URL", "MQTT_URL", "MQTT_USERNAME", "MQTT_PASSWORD"]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(f"CITYBROKER_{name}", raising=False)
        monkeypatch.delenv(f"CITYBROKER_{name}_FILE", raising=False)


def test_nothing_is_set():
    assert settings.database_url(None) is None
    assert settings.mqtt_url(None) is None


def test_an_option_wins_over_the_variable_and_that_over_the_file(monkeypatch, tmp_path):
    (tmp_path / "url").write_text("postgresql://file/db\n")
    monkeypatch.setenv("CITYBROKER_DATABASE_URL_FILE", str(tmp_path / "url"))
    assert settings.database_url(None) == "postgresql://file/db"
    monkeypatch.setenv("CITYBROKER_DATABASE_URL", "host=/run/postgresql")
    assert settings.database_url(None) == "host=/run/postgresql"
    assert settings.database_url("dbname=x") == "dbname=x"


def test_user_and_password_go_into_the_address(monkeypatch, tmp_path):
    (tmp_path / "password").write_text("p@ss/word\n")
    monkeypatch.setenv("CITYBROKER_MQTT_USERNAME", "ingest")
    monkeypatch.setenv("CITYBROKER_MQTT_PASSWORD_FILE", str(tmp_path / "password"))
    assert settings.mqtt_url("mqtts://broker:8883") == "mqtts://ingest:p%40ss%2Fword@broker:8883"
    assert settings.mqtt_url("mqtt://me:x@broker") == "mqtt://me:x@broker"


def test_a_user_without_password(monkeypatch):
    monkeypatch.setenv("CITYBROKER_MQTT_USERNAME", "ingest")
    monkeypatch.setenv("CITYBROKER_MQTT_URL", "mqtt://[::1]:1883")
    assert settings.mqtt_url(None) == "mqtt://ingest@[::1]:1883"


@pytest.mark.parametrize("url", ["http://broker", "broker:1883", "mqtt://", ""])
def test_what_is_no_mqtt_address(url):
    with pytest.raises(BadConfig, match="mqtt://HOST"):
        settings.mqtt_url(url or "x")


@pytest.mark.parametrize(("content", "words"), [(None, "cannot be read"), (b"\xff", "not UTF-8")])
def test_a_file_that_cannot_be_read(monkeypatch, tmp_path, content, words):
    path = tmp_path / "secret"
    if content:
        path.write_bytes(content)
    monkeypatch.setenv("CITYBROKER_MQTT_URL_FILE", str(path))
    with pytest.raises(BadConfig, match=words) as caught:
        settings.load()
    assert str(caught.value).startswith("CITYBROKER_MQTT_URL_FILE: ")


def test_printing_shows_no_secret(monkeypatch):
    monkeypatch.setenv("CITYBROKER_MQTT_PASSWORD", "hunter2")
    monkeypatch.setenv("CITYBROKER_DATABASE_URL", "postgresql://u:hunter2@h/d")
    assert "hunter2" not in repr(settings.load())


def test_tokens_of_a_source_one_a_line(monkeypatch, tmp_path):
    assert settings.tokens("air-quality") == frozenset()
    (tmp_path / "tokens").write_text("old\n\n new \n")
    monkeypatch.setenv("CITYBROKER_TOKEN_AIR_QUALITY_FILE", str(tmp_path / "tokens"))
    assert settings.tokens("air-quality") == {"old", "new"}
    monkeypatch.setenv("CITYBROKER_TOKEN_AIR_QUALITY", "one")
    assert settings.tokens("air.Quality") == {"one"}
    monkeypatch.setenv("CITYBROKER_TOKEN_WATER_FILE", str(tmp_path / "nothing"))
    with pytest.raises(BadConfig, match="CITYBROKER_TOKEN_WATER_FILE"):
        settings.tokens("water")
