"""Which form a caller wants: https://www.rfc-editor.org/rfc/rfc9110#section-12."""

from collections.abc import Sequence

from starlette.requests import Request

from opendata.problems import Problem


def choose(request: Request, offers: Sequence[str]) -> str:
    """Give the offered media type that the caller likes best, the earlier where it has no preference.

    Raises Problem 406 that lists what there is.
    """
    wishes = _wishes(request.headers.get("accept") or "*/*")
    ranked = [(_weight(offer, wishes), -place, offer) for place, offer in enumerate(offers)]
    weight, _, best = max(ranked)
    if weight <= 0:
        raise Problem(406, f"there is no such form, only {', '.join(offers)}", allowed=list(offers))
    return best


def takes_gzip(request: Request) -> bool:
    """Whether the answer may be compressed."""
    wishes = _wishes(request.headers.get("accept-encoding", ""))
    return wishes.get("gzip", wishes.get("*", 0.0)) > 0


def _wishes(header: str) -> dict[str, float]:
    """{media range or coding: weight}."""
    found: dict[str, float] = {}
    for part in header.split(","):
        name, _, parameters = part.partition(";")
        if name.strip():
            found[name.strip().lower()] = _quality(parameters)
    return found


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


def _weight(offer: str, wishes: dict[str, float]) -> float:
    """The weight of the most specific range that has the offer."""
    for name in (offer, f"{offer.partition('/')[0]}/*", "*/*"):
        if name in wishes:
            return wishes[name]
    return 0.0
