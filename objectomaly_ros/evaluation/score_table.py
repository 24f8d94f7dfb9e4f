"""Counts of scores in bounded memory, exact while there is room."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_SIGN = np.uint32(0x8000_0000)
_PENDING_LIMIT = 1 << 24


class ScoreTable:
    """The number of occurrences of each distinct float32 score, in ascending order.

    Counts are exact up to `max_levels` distinct scores. With more, every score loses the lowest bit
    of its mantissa, repeatedly if needed: a level then spans `2 ** (dropped_bits - 23)` of its
    magnitude. The result does not depend on the order of the scores.

    Memory: 12 bytes for each level, several times that while tables are merged, and 64 MiB of
    pending scores.
    """

    def __init__(self, max_levels: int = 1 << 24) -> None:
        if max_levels < 1 << 10:
            raise ValueError(f"max_levels must be at least 1024, got {max_levels}")
        self.max_levels = max_levels
        self.dropped_bits = 0
        self._keys = np.empty(0, np.uint32)
        self._counts = np.empty(0, np.int64)
        self._pending: list[npt.NDArray[np.uint32]] = []
        self._pending_size = 0

    def add(self, scores: npt.NDArray[np.float32]) -> None:
        """Count `scores`, (N,) float32, finite."""
        if scores.size == 0:
            return
        self._pending.append(_keys_of(scores))
        self._pending_size += scores.size
        if self._pending_size >= _PENDING_LIMIT:
            self._flush()

    def levels(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """Return the levels as ascending keys, and the number of scores in each."""
        self._flush()
        return self._keys, self._counts

    def drop_bits(self, bits: int) -> None:
        """Coarsen the table to at least `bits` dropped mantissa bits."""
        self._flush()
        if bits > self.dropped_bits:
            shift = np.uint32(bits - self.dropped_bits)
            self._keys, self._counts = _merge_equal(self._keys >> shift, self._counts)
            self.dropped_bits = bits

    def _flush(self) -> None:
        if not self._pending:
            return
        pending = np.concatenate(self._pending) >> np.uint32(self.dropped_bits)
        self._pending, self._pending_size = [], 0
        pending.sort()
        keys, counts = _merge_equal(pending, None)
        del pending
        if self._keys.size:
            # A stable sort merges two sorted halves in linear time.
            keys = np.concatenate((self._keys, keys))
            counts = np.concatenate((self._counts, counts))
            self._keys, self._counts = keys[:0], counts[:0]
            order = np.argsort(keys, kind="stable")
            keys, counts = _merge_equal(keys[order], counts[order])
        self._keys, self._counts = keys, counts
        while self._keys.size > self.max_levels:
            self.drop_bits(self.dropped_bits + 1)


def level_bounds(
    keys: npt.NDArray[np.uint32], dropped_bits: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the lowest and the highest score of each level, (N,) float32 each."""
    shift = np.uint32(dropped_bits)
    low = keys << shift
    return _scores_of(low), _scores_of(low | np.uint32((1 << dropped_bits) - 1))


def _keys_of(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """Map float32 to integers of the same order: flip the sign bit, or all bits of a negative."""
    bits = (scores + np.float32(0)).view(np.uint32)  # the sum turns -0 into 0
    negative = (bits & _SIGN) != 0
    return np.where(negative, ~bits, bits | _SIGN)


def _scores_of(keys: npt.NDArray[np.uint32]) -> npt.NDArray[np.float32]:
    """Undo `_keys_of`."""
    positive = (keys & _SIGN) != 0
    return np.where(positive, keys & ~_SIGN, ~keys).astype(np.uint32).view(np.float32)


def _merge_equal(
    keys: npt.NDArray[np.uint32], counts: npt.NDArray[np.int64] | None
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """Sum the counts (1 each if None) of equal keys; keys must be sorted and not empty."""
    first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    if counts is None:
        return keys[first], np.diff(first, append=keys.size)
    return keys[first], np.add.reduceat(counts, first)
