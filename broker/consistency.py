"""Do the tables of a configuration agree: names once, topics apart, nothing personal as it came.

The functions take the tables that are valid in themselves by their number in the file.
"""

from itertools import combinations

from broker import vocabulary
from broker.lines import Path
from broker.problems import Problem, did_you_mean, show
from broker.tables import FeedTable, SourceTable
from broker.topics import overlap

PERSONAL_KINDS = frozenset({"camera", "camera_pair"})
LATTICE_WINDOW = "PT15M"
LATTICE_STATISTICS = ["count"]

Sources = dict[int, SourceTable]
Feeds = dict[int, FeedTable]


def check(sources: Sources, feeds: Feeds, declared: list[str]) -> list[Problem]:
    """Find all on which the tables do not agree; `declared` names all sources, also those with mistakes."""
    names: dict[Path, str] = {("source", n, "name"): source.name for n, source in sources.items()}
    ids: dict[Path, str] = {("feed", n, "id"): feed.id for n, feed in feeds.items()}
    return [
        *_repeated(names),
        *_repeated(ids),
        *_overlapping(sources),
        *(problem for n, feed in feeds.items() for problem in _strangers(n, feed, declared)),
        *(problem for n, feed in feeds.items() for problem in _disclosed(n, feed, sources)),
    ]


def settle(feed: FeedTable, sources: Sources) -> FeedTable:
    """Fill in the window and statistics that an aggregate feed leaves out."""
    if feed.policy == "raw":
        return feed
    personal = bool(_personal(feed, sources))
    window = LATTICE_WINDOW if personal else "PT1H"
    statistics = LATTICE_STATISTICS if personal else ["mean"]
    return feed.model_copy(
        update={"window": feed.window or window, "statistics": feed.statistics or [*statistics]}
    )


def _repeated(named: dict[Path, str]) -> list[Problem]:
    first: dict[str, Path] = {}
    problems = []
    for path, name in named.items():
        if first.setdefault(name, path) != path:
            text = f"found {show(name)} again, expected a name of its own: it is already"
            problems.append(Problem(path, text, first[name]))
    return problems


def _overlapping(sources: Sources) -> list[Problem]:
    return [
        Problem(
            ("source", later, "topic"),
            f"found {show(b.topic)}, expected topics apart from {show(a.topic)} of source {show(a.name)}",
            ("source", earlier, "topic"),
        )
        for (earlier, a), (later, b) in combinations(sources.items(), 2)
        if overlap(a.topic, b.topic)
    ]


def _strangers(number: int, feed: FeedTable, names: list[str]) -> list[Problem]:
    return [
        Problem(
            ("feed", number, "source", position),
            f"found {show(name)}, expected the name of a source{did_you_mean(name, names)}",
        )
        for position, name in enumerate(feed.source)
        if name != "*" and name not in names
    ]


def _personal(feed: FeedTable, sources: Sources) -> list[tuple[str, int, str]]:
    """List key, position and name of what the feed names and what tells of persons; `*` names nothing."""
    personal = {source.name for source in sources.values() if source.personal or source.camera}
    known = vocabulary.load()
    found = [("property", n, name) for n, name in enumerate(feed.property) if _of_persons(known, name)]
    found += [("kind", n, name) for n, name in enumerate(feed.kind) if name in PERSONAL_KINDS]
    return found + [("source", n, name) for n, name in enumerate(feed.source) if name in personal]


def _of_persons(known: vocabulary.Vocabulary, name: str) -> bool:
    meant = known.find(name)
    return meant is not None and meant.personal


def _disclosed(number: int, feed: FeedTable, sources: Sources) -> list[Problem]:
    personal = _personal(feed, sources)
    if feed.policy == "raw":
        return [
            Problem(
                ("feed", number, key, position),
                f'found {show(name)}, which is personal, with policy "raw": expected policy "aggregate"',
            )
            for key, position, name in personal
        ]
    return [
        Problem(
            ("feed", number, key), f"{text}: the city's lattice sets it for {personal[0][2]}, which is personal"
        )
        for key, text in _off_lattice(feed)
        if personal
    ]


def _off_lattice(feed: FeedTable) -> list[tuple[str, str]]:
    off = []
    if feed.window not in {None, LATTICE_WINDOW}:
        off.append(("window", f"found {show(feed.window)}, expected {show(LATTICE_WINDOW)}"))
    if feed.statistics not in (None, LATTICE_STATISTICS):
        off.append(("statistics", f"found {show(feed.statistics)}, expected {show(LATTICE_STATISTICS)}"))
    if feed.minimum is not None:
        off.append(("minimum", f"found {feed.minimum}, expected none"))
    return off
