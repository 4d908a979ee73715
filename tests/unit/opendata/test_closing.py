from datetime import UTC, datetime, timedelta

from broker.store.cells import Process
from opendata.closing import horizon, is_forgotten

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATE = timedelta(minutes=5)


def process(role="ingest", *, beat=0, drained=0):
    return Process(
        "p", role, NOW - timedelta(seconds=beat), None if drained is None else NOW - timedelta(minutes=drained)
    )


def test_lateness_counts_by_the_wall_clock():
    assert horizon([process()], NOW, LATE) == NOW - LATE


def test_nothing_closes_without_a_living_ingest():
    assert horizon([], NOW, LATE) is None
    assert horizon([process("history")], NOW, LATE) is None
    assert horizon([process(beat=31)], NOW, LATE) is None


def test_who_is_behind_holds_the_others_back():
    assert horizon([process(), process(drained=20)], NOW, LATE) == NOW - timedelta(minutes=20)
    assert horizon([process(), process("history", drained=60)], NOW, LATE) == NOW - timedelta(minutes=60)
    assert horizon([process(), process("history", drained=None)], NOW, LATE) is None


def test_the_dead_are_waited_for_an_hour():
    assert horizon([process(), process(beat=3600, drained=90)], NOW, LATE) == NOW - timedelta(minutes=90)
    assert horizon([process(), process(beat=3601, drained=90)], NOW, LATE) == NOW - LATE
    assert is_forgotten(process(beat=3601), NOW)
