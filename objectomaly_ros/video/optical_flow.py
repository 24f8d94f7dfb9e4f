"""Moves the ids of masks from a keyframe to later frames by dense optical flow."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.types import Image

Ids = TypeVar("Ids", bound=npt.NDArray[np.generic])
Field = npt.NDArray[np.float32]
"""(h, w, 2) float32, displacements x, y in pixels of the flow's size."""

MAX_TRACKS = 8
"""Tracks alive at once; a further one ends the oldest, so memory is bounded without `drop`."""


class FlowPropagation:
    """Carries ids from a keyframe to later frames.

    Every frame costs one backward flow (from the frame to the one before it; Kroeger et al., "Fast
    Optical Flow using Dense Inverse Search", ECCV 2016), whatever the number of keyframes. Each
    track composes these flows into one displacement per pixel, from the current frame to its
    keyframe. Only displacements are interpolated. Ids are sampled once, from the nearest pixel of
    the keyframe: interpolated ids mean nothing, and interpolated scores destroy the plateaus that
    MBP looks for.

    Several tracks may live at once: one for the masks in use, and one for those being made. Not
    thread-safe.

    Args:
        scale: size of the flow as a fraction of the image's, above 0 to 1.
        max_side: the longer side of the flow is at most this many pixels.
    """

    def __init__(self, scale: float = 0.5, max_side: int = 320) -> None:
        if not 0.0 < scale <= 1.0:
            raise ValueError(f"scale is {scale}; it must lie above 0 and not above 1")
        if max_side < 32:
            raise ValueError(f"max_side is {max_side}; it must be 32 or more")
        self._scale = scale
        self._max_side = max_side
        self._flow = dense_flow()
        self._next_key = 0
        self.reset()

    def reset(self) -> None:
        """Forget the last frame and all tracks; their keys stay invalid for good."""
        self._previous: npt.NDArray[np.uint8] | None = None
        self._shape: tuple[int, int] | None = None
        self._tracks: dict[int, Field] = {}

    def step(self, image: Image) -> None:
        """Move every track to the next frame; an image of another size resets first.

        Args:
            image: (H, W, 3) uint8.
        """
        shape = image.shape[:2]
        if shape != self._shape:
            self.reset()
            self._shape = shape
        current = flow_image(image, self._scale, self._max_side)
        if self._previous is not None and self._tracks:
            backward = self._flow.calc(current, self._previous, None)  # type: ignore[call-overload]
            positions = cv2.add(backward, pixel_grid(current.shape))
            for key, displacement in self._tracks.items():
                self._tracks[key] = backward + cv2.remap(  # type: ignore[call-overload]
                    displacement, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
                )
        self._previous = current

    def start(self) -> int:
        """Start a track with the current frame as its keyframe.

        Returns:
            The track's key, for `warp` and `drop`; keys are never used twice.

        Raises:
            RuntimeError: no frame has been seen yet.
        """
        if self._previous is None:
            raise RuntimeError("there is no frame to start from; call step(image) first")
        while len(self._tracks) >= MAX_TRACKS:
            del self._tracks[next(iter(self._tracks))]
        key = self._next_key
        self._next_key += 1
        self._tracks[key] = np.zeros((*self._previous.shape, 2), np.float32)
        return key

    def drop(self, key: int) -> None:
        """End a track, unless it has ended already."""
        self._tracks.pop(key, None)

    def __contains__(self, key: int) -> bool:
        """Whether the track is alive; `reset`, `drop` and a new image size end it."""
        return key in self._tracks

    def warp(self, key: int, ids: Ids) -> Ids:
        """Move ids of a keyframe to the current frame.

        Args:
            key: of the track, from `start`.
            ids: (h, w) for the whole image, at any resolution; int32, or any type that `cv2.remap`
                takes.

        Returns:
            The moved ids, of the shape and type of `ids`; 0 in pixels that the keyframe did not
            show.

        Raises:
            KeyError: the track has ended.
        """
        try:
            displacement = self._tracks[key]
        except KeyError:
            raise KeyError(
                f"track {key} has ended (dropped, reset or a new image size); start a new one"
            ) from None
        height, width = ids.shape
        rows, columns = displacement.shape[:2]
        scaled = cv2.multiply(  # type: ignore[call-overload]
            displacement, (width / columns, height / rows, 0, 0)
        )
        positions = cv2.resize(scaled, (width, height), interpolation=cv2.INTER_LINEAR)
        positions = cv2.add(positions, pixel_grid((height, width)))
        return cv2.remap(  # type: ignore[call-overload, no-any-return]
            ids, positions, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0
        )


def dense_flow() -> cv2.DISOpticalFlow:
    """Return the optical flow of `FlowPropagation`: `calc(a, b, None)` takes `flow_image`s."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    # The presets stop at half or a quarter of the given size, at which a distant obstacle has
    # a few pixels. The full size follows it better for the same time.
    flow.setFinestScale(0)
    flow.setPatchStride(6)
    flow.setGradientDescentIterations(6)
    flow.setVariationalRefinementIterations(0)
    return flow


def flow_image(image: Image, scale: float, max_side: int) -> npt.NDArray[np.uint8]:
    """Return an image in grey at the flow's size.

    Args:
        image: (H, W, 3) uint8.
        scale: size of the flow as a fraction of the image's.
        max_side: the longer side of the flow is at most this many pixels.
    """
    height, width = image.shape[:2]
    factor = min(scale, max_side / max(height, width))
    size = (max(16, round(width * factor)), max(16, round(height * factor)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


@lru_cache(maxsize=8)
def pixel_grid(shape: tuple[int, ...]) -> Field:
    """Return the positions of an image's pixels, (h, w, 2) float32 x, y; read-only."""
    rows, columns = np.indices(shape[:2], np.float32)
    grid = np.stack([columns, rows], axis=-1)
    grid.flags.writeable = False
    return grid
