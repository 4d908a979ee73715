import pytest

from broker import remembered as module
from broker.remembered import remembered


@pytest.fixture
def asked() -> list[object]:
    return []


def test_each_name_is_worked_out_once(asked: list[object]) -> None:
    @remembered
    def length(name: str) -> int:
        asked.append(name)
        return len(name)

    assert [length(name) for name in ("a", "bb", "a", "bb")] == [1, 2, 1, 2]
    assert asked == ["a", "bb"]


def test_tuples_of_names(asked: list[object]) -> None:
    @remembered
    def joined(names: tuple[str | None, ...]) -> str:
        asked.append(names)
        return "/".join(name or "" for name in names)

    assert [joined(("a", None)), joined(("a", None)), joined(("a", "b"))] == ["a/", "a/", "a/b"]
    assert len(asked) == 2


@pytest.mark.parametrize("key", ["x" * (module.LONGEST + 1), ("x",) * (module.LONGEST + 1)])
def test_a_long_name_is_worked_out_each_time(asked: list[object], key: object) -> None:
    work = remembered(asked.append)
    work(key)
    work(key)
    assert len(asked) == 2


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 10)
    monkeypatch.setattr(module, "ALL", 50)
    names = module._Remembered(len)
    for number in range(1000):
        assert names[f"{number:03}"] == 3
        assert len(names) <= 10
    for number in range(1000):
        assert names[f"{number:010}"] == 10
        assert len(names) <= 5


def test_errors_are_not_remembered(asked: list[object]) -> None:
    @remembered
    def fails(name: str) -> int:
        asked.append(name)
        raise ValueError(name)

    for _ in range(2):
        with pytest.raises(ValueError, match="a"):
            fails("a")
    assert len(asked) == 2
