"""The shared samples of Sparkplug B are JSON renderings: the wire carries protobuf, so they are refused."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from broker.errors import BadMessage
from broker.model import Message, Source
from ingest.formats.sparkplug_b import decode


@pytest.mark.parametrize("number", [1, 2, 3])
def test_json_rendering_is_refused(shared: Path, number: int) -> None:
    rows = (shared / "samples" / "INDEX.tsv").read_text(encoding="utf-8").splitlines()
    (row,) = [row.split("\t") for row in rows if row.startswith(f"sparkplug-b/{number}.json\t")]
    data = (shared / "samples" / row[0]).read_bytes()
    with pytest.raises(BadMessage) as caught:
        decode(Message(row[3], data, datetime(2026, 3, 2, tzinfo=UTC)), Source("s", "spBv1.0/#"), {})
    assert caught.value.reason == "syntax"
