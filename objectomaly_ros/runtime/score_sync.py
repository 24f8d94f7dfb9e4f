"""Pairs images with the score maps that another program makes of them."""

from __future__ import annotations

import itertools
from typing import Generic, TypeVar

from objectomaly_ros.runtime.image_clock import DISORDER_S

I = TypeVar("I")  # noqa: E741  # an image
S = TypeVar("S")  # a score map
T = TypeVar("T")


class ScoreSynchronizer(Generic[I, S]):
    """Pairs images and score maps of the same stamp, whichever comes first. Not thread-safe.

    A pair drops what arrived before it, except what is newer by disorder. So a bag that loops meets
    no leftovers of the last round. Stamps are in nanoseconds.

    Args:
        size: how many images, and how many maps, may wait; the oldest are dropped beyond it.

    Attributes:
        images_alone: images dropped without a map.
        scores_alone: maps dropped without an image.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"at least 1 image must be able to wait, not {size}")
        self.images_alone = 0
        self.scores_alone = 0
        self._size = size
        self._images: dict[int, I] = {}
        self._scores: dict[int, S] = {}

    def __len__(self) -> int:
        return len(self._images)

    def image(self, stamp: int, image: I) -> tuple[I, S] | None:
        """Take an image; return it with its map if that has come."""
        self.images_alone += _add(self._images, stamp, image, self._size)
        return self._pair(stamp)

    def score(self, stamp: int, score: S) -> tuple[I, S] | None:
        """Take a map; return its image with it if that has come."""
        self.scores_alone += _add(self._scores, stamp, score, self._size)
        return self._pair(stamp)

    def clear(self) -> None:
        """Drop everything that waits, uncounted."""
        self._images.clear()
        self._scores.clear()

    def _pair(self, stamp: int) -> tuple[I, S] | None:
        if stamp not in self._images or stamp not in self._scores:
            return None
        image, images_before = _take(self._images, stamp)
        score, scores_before = _take(self._scores, stamp)
        self.images_alone += images_before
        self.scores_alone += scores_before
        return image, score


def _add(waiting: dict[int, T], stamp: int, item: T, size: int) -> int:
    """Add an item as the newest; return how many were dropped for it."""
    dropped = int(waiting.pop(stamp, None) is not None)
    if len(waiting) >= size:
        del waiting[next(iter(waiting))]
        dropped += 1
    waiting[stamp] = item
    return dropped


def _take(waiting: dict[int, T], stamp: int) -> tuple[T, int]:
    """Remove an item and what it drops; return it and the number of the others."""
    before = itertools.takewhile(lambda key: key != stamp, waiting)
    dropped = [key for key in before if not 0 < key - stamp < DISORDER_S * 1e9]
    for key in dropped:
        del waiting[key]
    return waiting.pop(stamp), len(dropped)
