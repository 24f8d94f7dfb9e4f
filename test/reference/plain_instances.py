"""Instance AP of OoDIS from its definition: sets of pixels and plain loops, no arrays."""

from fractions import Fraction
from itertools import pairwise
from math import nan

THRESHOLDS = [Fraction(k, 100) for k in range(50, 100, 5)]
SMALLEST = 10


def pixels(mask):
    """Return the set of (y, x) that a mask holds."""
    return {(y, x) for y, row in enumerate(mask) for x, value in enumerate(row) if value}


def components(cells):
    """Split a set of pixels into 8-connected sets."""
    left, parts = set(cells), []
    while left:
        part, border = set(), [left.pop()]
        while border:
            y, x = border.pop()
            part.add((y, x))
            near = {(y + a, x + b) for a in (-1, 0, 1) for b in (-1, 0, 1)} & left
            left -= near
            border.extend(near)
        parts.append(part)
    return parts


def instances_of(ids):
    """Return the set of pixels of each id above 0."""
    found = {}
    for y, row in enumerate(ids):
        for x, value in enumerate(row):
            if value > 0:
                found.setdefault(int(value), set()).add((y, x))
    return list(found.values())


def score_regions(score, labels, threshold):
    """Return predicted instances of a score: pixels, and their mean score as confidence."""
    found = []
    for part in components(pixels(score > threshold)):
        if len(part) >= SMALLEST:
            values = [float(score[p]) for p in part if labels[p] != 255]
            found.append((part, sum(values) / len(values) if values else 0.0))
    return found


def average_precision(frames, limit):
    """Return AP at one IoU threshold.

    Each frame is (truth, void, predictions): sets of pixels, a set, and pairs of pixels and
    confidence.
    """
    entries, total = [], 0  # (confidence, right)
    for truth, void, predictions in frames:
        counted = [t for t in truth if len(t) >= SMALLEST]
        nothing = void.union(*(t for t in truth if len(t) < SMALLEST))
        total += len(counted)
        rest = [p for p in predictions if p[0]]
        for instance in counted:
            on = [p for p in rest if Fraction(len(p[0] & instance), len(p[0] | instance)) > limit]
            on.sort(key=lambda p: -p[1])
            entries += [(confidence, rank == 0) for rank, (_, confidence) in enumerate(on)]
            rest = [p for p in rest if not any(p is q for q in on)]
        for part, confidence in rest:
            if Fraction(len(part & nothing), len(part)) <= limit:
                entries.append((confidence, False))
    if not total:
        return nan
    curve = [(0.0, 1.0)]  # recall, precision
    for level in sorted({confidence for confidence, _ in entries}, reverse=True):
        above = [right for confidence, right in entries if confidence >= level]
        curve.append((sum(above) / total, sum(above) / len(above)))
    area = 0.0
    for (r0, p0), (r1, p1) in pairwise(curve):
        area += (r1 - r0) * (p0 + p1) / 2
    return area


def all_thresholds(frames):
    """Return AP at the ten IoU thresholds."""
    return [average_precision(frames, limit) for limit in THRESHOLDS]
