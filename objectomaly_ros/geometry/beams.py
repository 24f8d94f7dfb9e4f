"""Beams over the ground, from a point at its centre: which ground they see free, and obstacles."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.geometry.ground import Transform
from objectomaly_ros.geometry.view import View
from objectomaly_ros.types import Mask

MOST_PIXELS = 640 * 480
"""Masks of larger images are reduced; a pixel of the reduced one is free if all its pixels are."""

BLIND_FACTOR, BLIND_M = 2.0, 0.5
"""The ground before the first pixel of a beam is not seen. A beam may begin so many times as far as
the nearest ground that is seen at all, and so many metres. One that begins farther sees nothing."""

FARTHER = 1.5
"""Pixels up to so many times range_max are looked at, for the ground to be seen beyond it."""

TURN, MOVE = 1e-3, 0.01
"""Beams stay as they are while the pose changes by less: radians, and metres."""


@dataclass(frozen=True)
class BeamSettings:
    """Settings of beams.

    Attributes:
        range_min: nearer ground is not looked at, metres.
        range_max: nor is ground farther away.
        increment: angle between beams, radians; changed a little for a whole number in a circle.
    """

    range_min: float = 0.1
    range_max: float = 30.0
    increment: float = 0.005


class Beams:
    """Beams of one view, made once and used for every image with the same view.

    Beam i has the angle `angle_min + i * increment`, counter-clockwise about the z axis of the
    scan's frame, and covers half an increment to both sides.

    Args:
        view: of the images.
        shape: height and width of the images.
        scan_from_base: transform from the base frame to the scan's frame, (4, 4); both are level.
        settings: of the beams.

    Attributes:
        count: number of beams; 0 if no ground is seen.
        angle_min, increment: radians.
    """

    def __init__(
        self, view: View, shape: tuple[int, int], scan_from_base: Transform, settings: BeamSettings
    ) -> None:
        self._view, self._shape = view, shape
        self._scan_from_base, self._settings = scan_from_base, settings
        self._circle = round(2 * np.pi / settings.increment)
        self.increment = 2 * np.pi / self._circle
        ahead = scan_from_base[:2, :2] @ view.transform[:2, 2]
        self._heading = float(np.arctan2(ahead[1], ahead[0])) if np.hypot(*ahead) > 1e-3 else 0.0
        self._factor = int(np.ceil(np.sqrt(shape[0] * shape[1] / MOST_PIXELS)))
        self._find_pixels()

    def fits(
        self, view: View, shape: tuple[int, int], scan_from_base: Transform, settings: BeamSettings
    ) -> bool:
        """Return whether the beams are those of the arguments, but for a small move."""
        return (
            shape == self._shape
            and settings == self._settings
            and view.model == self._view.model
            and _is_near(view.transform, self._view.transform)
            and _is_near(scan_from_base, self._scan_from_base)
        )

    @property
    def angles(self) -> npt.NDArray[np.float64]:
        """Angles of the beams in radians, (count,)."""
        return self.angle_min + self.increment * np.arange(self.count, dtype=np.float64)

    def free_ranges(
        self, free: Mask, limits: npt.NDArray[np.float64] | None = None
    ) -> npt.NDArray[np.float64]:
        """Return how far each beam sees nothing but free ground.

        A beam is walked from near to far. It ends before the first pixel that is not free, and
        where its ground is no longer seen.

        Args:
            free: the pixels that show free ground, (H, W) bool.
            limits: ranges at which beams end at the latest, (count,).

        Returns:
            (count,) metres, at most `range_max`; 0 for beams that see no free ground.
        """
        small = self._reduced(free)
        blocked = np.flatnonzero(~small.reshape(-1).take(self._pixels))
        first = np.searchsorted(blocked, self._starts)
        position = np.append(blocked, len(self._pixels))[first]
        open_ended = position >= self._ends
        cut = self._near[np.where(open_ended, -1, position)]
        ranges = np.minimum(cut, self._seen_to)
        if limits is not None:
            ranges = np.minimum(ranges, limits)
        ranges[ranges <= self._seen_from] = 0.0
        return np.asarray(np.minimum(ranges, self._settings.range_max))

    def nearest(
        self,
        points: npt.NDArray[np.floating],
        pixels: npt.NDArray[np.floating],
        reduction: npt.NDArray[np.floating] | float = 0.0,
        *,
        half_width: float = 0.5,
    ) -> npt.NDArray[np.float64]:
        """Return the range of the nearest point in each beam.

        Args:
            points: x, y, z in the base frame, (M, 3).
            pixels: that show them, x, y, (M, 2); every beam that one crosses sees its point.
            reduction: metres by which each range is reduced, (M,) or one number.
            half_width: from the middle of a pixel to its sides, in pixels.

        Returns:
            (count,) metres; inf for beams without points.
        """
        ranges = np.full(self._circle, np.inf)
        if not len(points):
            return ranges[self._beams]
        aside = np.array([half_width, 0.0])
        seen = np.concatenate([pixels, pixels - aside, pixels + aside])
        middle, left, right = self._view.directions(seen).reshape(3, -1, 3)
        base = np.asarray(points, np.float64)
        with np.errstate(all="ignore"):
            scale = np.linalg.norm(base - self._view.position, axis=1) / np.linalg.norm(
                middle, axis=1
            )
            sides = [np.nan_to_num(scale[:, None] * (ray - middle)) for ray in (left, right)]
        places = np.stack([base, base + sides[0], base + sides[1]])
        flat = self._to_scan(places)
        first, count, _ = self._crossed(self._bearings(flat))
        source = np.repeat(np.arange(len(base)), count)
        beam = (first[source] + _within(count)) % self._circle
        distance = np.maximum(np.hypot(flat[0, :, 0], flat[0, :, 1]) - reduction, 0.0)
        np.minimum.at(ranges, beam, distance[source])
        return ranges[self._beams]

    def _find_pixels(self) -> None:
        """Find the pixels of every beam, from near to far, and the ground that it sees."""
        height, width = (side // self._factor for side in self._shape)
        # Rows that do not fill a reduced one are left out at the top, where the sky is.
        top = self._shape[0] - height * self._factor
        x = self._factor * np.arange(width + 1) - 0.5
        y = top + self._factor * np.arange(height + 1) - 0.5
        corners = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        directions = self._view.directions(corners)
        origin = self._view.position
        with np.errstate(all="ignore"):
            scale = -origin[2] / directions[:, 2]
            ground = origin + scale[:, None] * directions
            ahead = (scale > 0) & (origin[2] > 0)  # not if it is NaN
        ground[~ahead] = 0.0
        flat = self._to_scan(ground).reshape(height + 1, width + 1, 2)
        seen = _four(ahead.reshape(height + 1, width + 1)).all(axis=0)
        ranges = _four(np.hypot(flat[..., 0], flat[..., 1]))
        near, far = ranges.min(axis=0), ranges.max(axis=0)
        known = np.isfinite(directions).all(axis=1).reshape(height + 1, width + 1)
        inner = _inner(np.asarray(_four(known).all(axis=0))).reshape(-1)
        seen &= (near < FARTHER * self._settings.range_max) & (far > self._settings.range_min)
        pixels = np.flatnonzero(seen)
        near, far, inner = near.reshape(-1)[pixels], far.reshape(-1)[pixels], inner[pixels]
        places = np.stack([part.reshape(-1, 2)[pixels] for part in _four(flat)])
        first, count, middle = self._crossed(self._bearings(places))
        source = np.repeat(np.arange(len(pixels)), count)
        step = _within(count)
        beam = (first[source] + step) % self._circle
        # The line of a beam crosses a pixel only partly in its first and last beam.
        central = middle[0][source] <= first[source] + step
        central &= first[source] + step <= middle[1][source]
        order = np.lexsort((near[source], beam))
        source, beam, central = source[order], beam[order], central[order]
        self._crop(beam)
        beam -= self._beams[:1].sum()
        self._pixels = pixels[source]
        self._near = np.append(near[source], np.inf)
        bounds = np.searchsorted(beam, np.arange(self.count + 1))
        self._starts, self._ends = bounds[:-1], bounds[1:]
        line = source[central]
        self._find_seen(beam[central], near[line], far[line], inner[line])

    def _crop(self, beam: npt.NDArray[np.int64]) -> None:
        """Keep the beams from the first to the last that sees ground."""
        if not len(beam):
            first, count = 0, 0
        elif beam[0] == 0 and beam[-1] == self._circle - 1:  # it sees ground behind the origin
            first, count = 0, self._circle
        else:
            first, count = int(beam[0]), int(beam[-1] - beam[0] + 1)
        self.count = count
        self._beams = first + np.arange(count)
        self.angle_min = self._heading + (first - self._circle // 2) * self.increment

    def _find_seen(
        self,
        beam: npt.NDArray[np.int64],
        near: npt.NDArray[np.float64],
        far: npt.NDArray[np.float64],
        inner: Mask,
    ) -> None:
        """Find from where to where each beam sees ground without a gap.

        Args:
            beam: of each pixel that is crossed by the line of a beam, ascending.
            near: of the pixels, ascending within a beam.
            far: of the pixels.
            inner: whether it is no pixel at the border of the image.
        """
        self._seen_from = np.full(self.count, np.inf)
        self._seen_to = np.zeros(self.count)
        if not len(beam):
            return
        limit = 2 * FARTHER * self._settings.range_max
        apart = beam * 2 * limit  # beams do not reach each other
        reach = np.maximum.accumulate(np.minimum(far, limit) + apart)
        own = np.flatnonzero(np.diff(beam, prepend=-1))
        self._seen_from[beam[own]] = near[own]
        gap = near[1:] + apart[1:] > reach[:-1] + 1e-6
        last = np.flatnonzero(np.append(gap, True))  # of a stretch without gap
        last = last[np.searchsorted(last, own)]
        # Somewhere in a pixel at the border, the line leaves the image.
        center = _next(inner, own)
        leaves = _next(~inner, center)
        within = leaves <= last
        end = reach[last] - apart[own]
        end[within] = np.minimum(end[within], near[leaves[within]])
        end[center > last] = 0.0
        self._seen_to[beam[own]] = end
        begins = np.maximum(self._seen_from, self._settings.range_min)
        self._seen_to[begins > BLIND_FACTOR * begins.min() + BLIND_M] = 0.0

    def _reduced(self, mask: Mask) -> Mask:
        if self._factor == 1:
            return mask
        height, width = (side // self._factor for side in self._shape)
        top = self._shape[0] - height * self._factor
        part = mask[top:, : width * self._factor].view(np.uint8) * np.uint8(255)
        mean = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(mean == 255)

    def _to_scan(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return x, y in the scan's frame of points in the base frame."""
        turn = self._scan_from_base
        return np.asarray(points @ turn[:2, :3].T + turn[:2, 3])

    def _bearings(self, places: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return angles against the heading, from -pi to pi."""
        angle = np.arctan2(places[..., 1], places[..., 0]) - self._heading
        return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)

    def _crossed(
        self, bearings: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the beams between the outermost of several bearings, (K, M).

        Returns:
            The first one and the number of beams, (M,) each, and both ends in beams, (2, M).
        """
        low, high = bearings.min(axis=0), bearings.max(axis=0)
        split = np.flatnonzero(high - low > np.pi)  # on both sides of the direction backwards
        if len(split):
            behind = bearings[:, split] % (2 * np.pi)
            low[split], high[split] = behind.min(axis=0), behind.max(axis=0)
            around = high - low > np.pi  # the origin lies between them
            low[around], high[around] = -np.pi, np.pi
        middle = np.stack([low, high]) / self.increment + self._circle // 2
        first, last = np.floor(middle + 0.5).astype(np.int64)
        return first, np.minimum(last - first + 1, self._circle), middle


def _is_near(a: Transform, b: Transform) -> bool:
    change = np.abs(a - b)
    return bool(change[:3, :3].max() < TURN and change[:3, 3].max() < MOVE)


def _four(grid: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Return the values at the four corners of every pixel, (4, H, W, ...)."""
    return np.stack([grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:]])


def _next(mask: Mask, start: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the first index of a true element from each start on; the length if there is none."""
    found = np.append(np.flatnonzero(mask), len(mask))
    return np.asarray(found[np.searchsorted(found, start)])


def _inner(mask: Mask) -> Mask:
    """Return the pixels whose four neighbours are all in the mask."""
    wide = np.pad(mask, 1)
    sides = wide[1:-1, :-2] & wide[1:-1, 2:]
    return np.asarray(sides & wide[:-2, 1:-1] & wide[2:, 1:-1])


def _within(count: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return 0, 1, ... count - 1 for every count, one after the other."""
    return np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
