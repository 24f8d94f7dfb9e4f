"""The tree of transforms that TF messages make, without ROS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from objectomaly_ros.geometry.ground import Transform, transform_from_quaternion


@dataclass(frozen=True)
class TransformSeen:
    """A transform of /tf or /tf_static.

    Attributes:
        translation: x, y, z in metres.
        rotation: quaternion x, y, z, w.
        publisher: of /tf_static if `static`.
        stamp_s: of its header.
        wall_s: when it was received, by the clock of this machine.
    """

    parent: str
    child: str
    translation: tuple[float, float, float]
    rotation: tuple[float, float, float, float]
    static: bool
    stamp_s: float = 0.0
    wall_s: float = 0.0


class Tree:
    """Transforms by child and parent; a child with several parents hangs below the last."""

    def __init__(self, transforms: dict[tuple[str, str], TransformSeen]) -> None:
        self._up: dict[str, TransformSeen] = {}
        self.parents: dict[str, set[str]] = {}
        for (child, parent), transform in transforms.items():
            self._up[child] = transform
            self.parents.setdefault(child, set()).add(parent)
        self.frames = {*self.parents, *(parent for _, parent in transforms)}

    def chain(self, frame: str) -> list[TransformSeen]:
        """Return the transforms from a frame up to its root."""
        found: list[TransformSeen] = []
        while frame in self._up and len(found) <= len(self._up):
            found.append(self._up[frame])
            frame = self._up[frame].parent
        return found

    def root(self, frame: str) -> str:
        """Return the frame at the top of a frame's tree."""
        chain = self.chain(frame)
        return chain[-1].parent if chain else frame

    def path(self, base: str, frame: str) -> list[TransformSeen]:
        """Return the transforms between two frames of one tree, without their common part."""
        below, above = self.chain(frame), self.chain(base)
        while below and above and below[-1] == above[-1]:
            below.pop()
            above.pop()
        return [*below, *above]

    def transform(self, base: str, frame: str) -> Transform | None:
        """Return the transform from a frame to the base; None if they are not connected.

        Raises:
            ValueError: a quaternion is zero.
        """
        if self.root(base) != self.root(frame):
            return None
        below, above = (_product(self.chain(one)) for one in (frame, base))
        return np.asarray(np.linalg.inv(above) @ below, np.float64)


def _product(chain: list[TransformSeen]) -> Transform:
    result = np.eye(4)
    for transform in chain:
        result = transform_from_quaternion(transform.translation, transform.rotation) @ result
    return result
