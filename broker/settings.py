"""Secrets and addresses from the environment, or from files that the environment names.

Each setting is `CITYBROKER_…` itself, or the path of a file with it in `CITYBROKER_…_FILE`
(Docker and systemd hand secrets over as files). They are no part of `city.toml`.
"""

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from broker.errors import BadConfig

PREFIX = "CITYBROKER_"


class Settings(BaseSettings):
    """What must not stand in `city.toml`. Printing it shows no secret."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, hide_input_in_errors=True, frozen=True, extra="ignore")

    database_url: SecretStr | None = None
    """Anything that libpq takes: postgresql://… or host=… user=…"""
    mqtt_url: SecretStr | None = None
    """mqtt://… or mqtts://…, with or without user and password."""
    mqtt_username: str | None = None
    """Put into `mqtt_url` where that names nobody."""
    mqtt_password: SecretStr | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings names it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings names it
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the variable itself first, then the file that `…_FILE` names; no .env is read."""
        return init_settings, env_settings, _Files(settings_cls)


class _Files(PydanticBaseSettingsSource):
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - pydantic-settings calls it so
        variable = f"{PREFIX}{field_name.upper()}_FILE"
        return _content(variable), field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {
            name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in found.items() if value is not None}


def _content(variable: str) -> str | None:

    path = os.environ.get(variable)
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BadConfig(f"{variable}: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadConfig(f"{variable}: {path} is not UTF-8 text") from None


def load() -> Settings:
    """Read the settings. BadConfig if a file cannot be read or a variable is unusable."""
    try:
        return Settings()
    except ValidationError as error:
        names = ", ".join(PREFIX + str(detail["loc"][0]).upper() for detail in error.errors(include_input=False))
        raise BadConfig(f"{names}: expected a text") from None


def tokens(source: str) -> frozenset[str]:
    """Give the tokens that let messages of a source in at the push door: CITYBROKER_TOKEN_ and its name.

    The name is in capitals, with _ for what is no letter or digit; `air-quality` has
    CITYBROKER_TOKEN_AIR_QUALITY, or CITYBROKER_TOKEN_AIR_QUALITY_FILE. A token a line, each of them is good: so
    that one can be replaced while devices still have the old one. BadConfig if the file cannot be read.
    """
    variable = f"{PREFIX}TOKEN_{re.sub(r'[^A-Z0-9]', '_', source.upper())}"
    found = os.environ.get(variable) or _content(f"{variable}_FILE") or ""
    return frozenset(line.strip() for line in found.splitlines() if line.strip())


def database_url(given: str | None) -> str | None:
    """Give the database's address: the option if given, else the setting."""
    setting = load().database_url
    return given or (setting.get_secret_value() if setting else None)


def mqtt_url(given: str | None) -> str | None:
    """Give the MQTT broker's address with user and password in it. BadConfig if it is none."""
    settings = load()
    url = given or (settings.mqtt_url.get_secret_value() if settings.mqtt_url else None)
    return None if url is None else _with_login(url, settings)


def _with_login(url: str, settings: Settings) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
        raise BadConfig("--mqtt-url: expected mqtt://HOST[:PORT] or mqtts://HOST[:PORT]")
    if parts.username or not settings.mqtt_username:
        return url
    password = settings.mqtt_password.get_secret_value() if settings.mqtt_password else ""
    login = quote(settings.mqtt_username, safe="") + (f":{quote(password, safe='')}" if password else "")
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc}"))
