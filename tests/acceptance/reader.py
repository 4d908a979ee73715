"""A reader of a running city: its feeds, its metrics, and what the command line says of it."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from processes import City, until
from prometheus_client.parser import text_string_to_metric_families

COLUMNS = "phenomenonTime,thing,observedProperty,result,unit,datastream,phenomenonTimeEnd,quality,status"
Row = dict[str, str]


class Reader:
    """Reads one city over HTTP."""

    def __init__(self, city: City, http: httpx.Client) -> None:
        self.city, self._http = city, http

    def ask(self, method: str, path: str, **headers: str) -> httpx.Response:
        """The answer to one request; `If_None_Match` is the header If-None-Match."""
        return self._http.request(
            method, path, headers={key.replace("_", "-"): one for key, one in headers.items()}
        )

    def get(self, path: str, **headers: str) -> httpx.Response:
        """The answer to GET."""
        return self.ask("GET", path, **headers)

    def rows(self, feed: str, query: str = "") -> list[Row]:
        """The observations of a feed, out of its CSV."""
        answer = self.get(f"/feeds/{feed}/observations.csv?{query}")
        assert answer.status_code == 200, answer.text
        assert answer.text.startswith(COLUMNS + "\n")
        return list(csv.DictReader(io.StringIO(answer.text)))

    def of(self, feed: str, thing: str) -> list[Row]:
        """The observations of one thing in a feed."""
        return self.rows(feed, f"thing={thing}")

    def samples(self) -> dict[tuple[str, str], float]:
        """All samples of one scrape: (name, value of the label `reason`, `status` or `role`): value."""
        return {
            (one.name, next((one.labels[key] for key in ("reason", "role") if key in one.labels), "")): one.value
            for family in text_string_to_metric_families(self.get("/metrics").text)
            for one in family.samples
        }

    def count(self, name: str, reason: str = "") -> float:
        """One counter of the project."""
        return self.samples().get((f"citybroker_{name}_total", reason), 0.0)

    def messages(self) -> Counter[str]:
        """What became of messages, in one scrape: received, in_flight, and the sums of the outcomes."""
        found: Counter[str] = Counter()
        for (name, _), value in self.samples().items():
            if name.startswith("citybroker_messages_"):
                kind = name.removeprefix("citybroker_messages_").removesuffix("_total")
                found[kind] += int(value)
        return found

    def settled(self) -> Counter[str]:
        """The same once nothing is in flight."""
        return until(lambda: found if not (found := self.messages())["in_flight"] else None, "nothing in flight")

    def rejects(self) -> list[dict[str, Any]]:
        """What was refused, the newest first."""
        return [json.loads(line) for line in self.city.command("rejects", "list", "--json").splitlines()]


@contextmanager
def reader(city: City) -> Iterator[Reader]:
    """Somebody who reads this city meanwhile."""
    with httpx.Client(base_url=city.http, timeout=60) as http:
        yield Reader(city, http)


def moment(text: str) -> datetime:
    """An ISO 8601 time, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)
