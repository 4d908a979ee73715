"""Repeatable chance: the same key gives the same value, in every process and for every time asked."""

import struct
from collections.abc import Hashable
from functools import lru_cache
from hashlib import blake2b
from math import exp


def unit(*key: Hashable) -> float:
    """Return a number in [0, 1) for a key."""
    digest = blake2b(repr(key).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / (1 << 56)


def units(*key: Hashable) -> tuple[float, ...]:
    """Return eight independent numbers in [0, 1) for a key."""
    words = struct.unpack("<8Q", blake2b(repr(key).encode(), digest_size=64).digest())
    return tuple((word >> 11) / (1 << 53) for word in words)


def drift(seconds: float, period: float, *key: Hashable) -> float:
    """Return a value in [-1, 1] that wanders smoothly, with a new goal every `period` seconds."""
    step, part = divmod(seconds / period, 1)
    here, there = _goal(int(step), *key), _goal(int(step) + 1, *key)
    return 2 * (here + (there - here) * part * part * (3 - 2 * part)) - 1


def count(mean: float, *key: Hashable) -> int:
    """Return how many events happen where `mean` are expected (Poisson; `mean` up to some hundred)."""
    left, number = unit(*key), 0
    share = exp(-mean)
    while left > share and number < 1000:
        left -= share
        number += 1
        share *= mean / number
    return number


@lru_cache(maxsize=1 << 14)
def _goal(*key: Hashable) -> float:
    return unit(*key)
