"""Renders the drive frame by frame: picture, camera, truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.demo.drive.draw_flat import draw_house, draw_lamp, draw_plant
from objectomaly_ros.demo.drive.draw_ground import draw_ground, draw_shadows, draw_sky
from objectomaly_ros.demo.drive.draw_solid import draw_actor
from objectomaly_ros.demo.drive.photograph import IGNORE, Sensor, reduce_ids
from objectomaly_ros.demo.drive.scene import VIEW_M, Actor, build_scene
from objectomaly_ros.demo.drive.view import Canvas, EgoMotion, Points, View, turn_about_z
from objectomaly_ros.evaluation.frames import Labels
from objectomaly_ros.geometry.camera_model import CameraModel
from objectomaly_ros.geometry.ground import CameraPose
from objectomaly_ros.types import Image

_SUPERSAMPLING = 2
_MIN_PIXELS = 20
"""Objects of fewer visible pixels are ignored: nobody could label them."""


@dataclass(frozen=True)
class VisibleObject:
    """An unknown object in one frame.

    Attributes:
        truth_id: its number from 1 on, the same in every frame.
        name: what it is.
        range_m: metres on the ground from below the camera to its nearest point.
        box: x, y, width, height of its visible pixels.
        pixels: how many are visible.
        outline: its convex outline seen from above, corners x ahead and y left in metres from the
            ground under the camera, counter-clockwise.
    """

    truth_id: int
    name: str
    range_m: float
    box: tuple[int, int, int, int]
    pixels: int
    outline: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class FrameTruth:
    """The ground truth of one frame.

    Attributes:
        ids: (H, W) uint8: 0 normal, 1 and up an unknown object, 255 its outline (unsure).
        objects: the unknown objects in view.
    """

    ids: npt.NDArray[np.uint8]
    objects: tuple[VisibleObject, ...]

    @property
    def labels(self) -> Labels:
        """Labels for the metrics, (H, W) uint8: 0 normal, 1 anomaly, 255 ignore."""
        return np.where((self.ids > 0) & (self.ids != IGNORE), 1, self.ids).astype(np.uint8)


Truth: TypeAlias = Mapping[int, FrameTruth]
"""The truth of every frame by its stamp in nanoseconds."""


@dataclass(frozen=True)
class DriveFrame:
    """A frame of the drive: time from the start, (H, W, 3) uint8 RGB, truth."""

    time_s: float
    image: Image
    truth: FrameTruth


class RenderedDrive:
    """A drive along one street; the same arguments give the same frames, bit by bit.

    Args:
        seconds: how long.
        rate_hz: frames per second.
        width: pixels.
        height: pixels.
        seed: of everything random.
    """

    def __init__(
        self,
        seconds: float = 20.0,
        rate_hz: float = 10.0,
        width: int = 640,
        height: int = 360,
        seed: int = 7,
    ) -> None:
        if seconds <= 0 or rate_hz <= 0 or width < 64 or height < 36:
            raise ValueError(
                f"a drive of {seconds} s at {rate_hz} Hz with {width}x{height} pixels cannot be "
                "drawn; time and rate must be above 0 and the picture at least 64x36"
            )
        self.rate_hz = rate_hz
        self._count = max(1, round(seconds * rate_hz))
        focal, centre = 0.80 * width, ((width - 1) / 2, (height - 1) / 2)
        self.camera = CameraModel(focal, focal, *centre, width, height)
        self.pose = CameraPose(height=1.35, pitch=np.deg2rad(1.5))
        phases = np.random.default_rng([seed, 50]).uniform(0, 2 * np.pi, 6)
        self.motion = EgoMotion(7.0, 1.6, self.pose, phases)
        self.scene = build_scene(seed, self.motion.travelled(seconds))
        self._sensor = Sensor(width, height, seed)
        self._large = self.camera.resized(width * _SUPERSAMPLING, height * _SUPERSAMPLING)

    def __len__(self) -> int:
        return self._count

    def frame(self, index: int) -> DriveFrame:
        """Render frame `index`, in any order."""
        if not 0 <= index < self._count:
            raise IndexError(f"frame {index} of a drive of {self._count} frames")
        time_s = index / self.rate_hz
        view = self.motion.view(time_s, self._large)
        shape = (self._large.height, self._large.width)
        canvas = Canvas(np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8))
        self._draw(canvas, view, time_s)
        ids = reduce_ids(canvas.ids, self.camera.width, self.camera.height)
        kept = np.arange(256, dtype=np.uint8)
        kept[np.bincount(ids.ravel(), minlength=256) < _MIN_PIXELS] = IGNORE
        ids = kept[ids]
        truth = FrameTruth(ids, self._visible(ids, view, time_s))
        return DriveFrame(time_s, self._sensor.expose(canvas.image, index), truth)

    def _draw(self, canvas: Canvas, view: View, time_s: float) -> None:
        scene, here = self.scene, float(view.position[0])
        draw_sky(canvas, view, scene.sky)
        draw_ground(canvas, view, scene.ground)
        actors = [(actor, actor.position(time_s)) for actor in scene.actors]
        actors = [(a, p) for a, p in actors if here - 1 < p[0] + a.footprint[0] < here + VIEW_M]
        draw_shadows(canvas, view, actors)
        # Far to near; at the same place, fronts before what stands on the pavement.
        last = here + VIEW_M + 60
        houses = [house for house in scene.houses if here - 16 < house.start < last]
        parts: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = [
            *((h.start + 3, 0, draw_house, (h,)) for h in houses),
            *((p.position[0], 1, draw_plant, (p,)) for p in scene.plants if p.position[0] < last),
            *((f[0], 2, draw_lamp, (f,)) for f in scene.lamps if here < f[0] < here + VIEW_M),
            *((place[0], 3, draw_actor, (actor, place)) for actor, place in actors),
        ]
        for _, _, draw_part, what in sorted(parts, key=lambda part: (-part[0], part[1])):
            draw_part(canvas, view, *what)

    def _visible(
        self, ids: npt.NDArray[np.uint8], view: View, time_s: float
    ) -> tuple[VisibleObject, ...]:
        found = []
        for actor in self.scene.actors:
            if actor.truth_id == 0:
                continue
            rows, columns = np.nonzero(ids == actor.truth_id)
            if len(rows) == 0:
                continue
            corner = (int(columns.min()), int(rows.min()))
            size = (int(columns.max()) - corner[0] + 1, int(rows.max()) - corner[1] + 1)
            ground = _from_above(actor, actor.position(time_s), view)
            seen = VisibleObject(
                actor.truth_id,
                actor.name,
                float(np.linalg.norm(ground, axis=1).min()),
                (*corner, *size),
                len(rows),
                _outline(ground),
            )
            found.append(seen)
        return tuple(found)


def _from_above(actor: Actor, place: Points, view: View) -> Points:
    """Return the actor's surface points, x ahead and y left of the ground below the camera, (N, 2).

    Ahead is the direction in which the camera looks, seen from above.
    """
    turned = actor.solid.levels[0].points @ turn_about_z(actor.heading).T + place
    forward = view.rotation[:2, 2] / np.linalg.norm(view.rotation[:2, 2])
    left = np.array([-forward[1], forward[0]])
    return np.asarray((turned[:, :2] - view.position[:2]) @ np.column_stack([forward, left]))


def _outline(ground: Points) -> tuple[tuple[float, float], ...]:
    corners = cv2.convexHull(ground.astype(np.float32), clockwise=False)[:, 0]
    return tuple((round(float(x), 3), round(float(y), 3)) for x, y in corners)
