"""Cars, vans and people. Metres; each stands on z = 0 and faces +x."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from objectomaly_ros.demo.drive.clouds import (
    Points,
    Solid,
    Values,
    ball,
    box,
    capsule,
    cylinder,
    make_solid,
    melt,
    speckle,
)

CAR_COLOURS = (
    (34, 36, 40), (52, 56, 62), (92, 97, 104), (138, 141, 144), (160, 161, 160),
    (38, 44, 64), (88, 34, 34), (44, 54, 52), (64, 70, 80), (116, 117, 115),
)  # fmt: skip


@dataclass(frozen=True)
class CarShape:
    """Proportions of a car, metres; x runs forward from the middle.

    Attributes:
        length, width, height: overall.
        belt: height of the windows' lower edge.
        bonnet: x where the windscreen starts.
        roof_front, roof_rear: x of the roof's ends.
        boot: x where the rear window ends at the belt.
    """

    length: float
    width: float
    height: float
    belt: float
    bonnet: float
    roof_front: float
    roof_rear: float
    boot: float


HATCHBACK = CarShape(3.9, 1.66, 1.42, 0.92, 0.95, 0.28, -1.45, -1.88)
SALOON = CarShape(4.5, 1.74, 1.40, 0.93, 0.95, 0.20, -1.05, -1.75)
VAN = CarShape(4.7, 1.86, 1.95, 1.15, 1.75, 1.10, -2.30, -2.33)


def car(shape: CarShape, colour: tuple[int, int, int], spacing: float = 0.036) -> Solid:
    """A car with glass, lights, plates and wheels."""
    front, rear = shape.length / 2, -shape.length / 2
    half_width = shape.width / 2
    axles = (front - 0.78, rear + 0.75)

    def tumblehome(p: Points) -> Values:
        """Half the width, which shrinks from the belt to the roof."""
        return np.asarray(half_width - 0.16 * np.clip((p[..., 2] - shape.belt) / 0.5, 0, 1.2))

    def slope(p: Points, x0: float, x1: float) -> Values:
        """Signed distance before a pane from (x0, belt) to (x1, roof)."""
        rise = shape.height - shape.belt
        run = x1 - x0
        height = (p[..., 0] - x0) * rise - (p[..., 2] - shape.belt) * run
        return np.asarray(height / np.hypot(rise, run), np.float32)

    def distance(p: Points) -> Values:
        nose = 0.16 * np.clip((p[..., 0] - shape.bonnet) / (front - shape.bonnet), 0, 1) ** 2
        top = shape.belt + 0.02 - nose
        low = box(p, [0, 0, 0.55], [front, half_width, 0.42], 0.14)
        low = np.maximum(low, p[..., 2] - top)
        round_ends = np.abs(p[..., 0]) + 0.16 * (p[..., 1] / half_width) ** 2 - front
        low = np.maximum(low, round_ends)
        cabin = np.maximum.reduce(
            [
                slope(p, shape.bonnet, shape.roof_front),
                -slope(p, shape.boot, shape.roof_rear),
                p[..., 2] - shape.height + 0.05 * (p[..., 1] / half_width) ** 2,
                np.abs(p[..., 1]) - tumblehome(p),
                shape.belt - 0.15 - p[..., 2],
            ]
        )
        body = melt(low, cabin, 0.06)
        for axle in axles:
            arch = cylinder(p, [axle, 0, 0.32], 1, 0.37, 2.0)
            skirt = np.maximum(arch, np.abs(p[..., 1]) - 2.0)
            body = np.maximum(body, -np.maximum(skirt, 0.55 - np.abs(p[..., 1])))
            for side in (-1, 1):
                wheel = cylinder(p, [axle, side * (half_width - 0.13), 0.31], 1, 0.31, 0.1)
                body = np.minimum(body, wheel - 0.005)
        for side in (-1, 1):
            place = [shape.bonnet - 0.25, side * (half_width + 0.08), shape.belt + 0.1]
            body = np.minimum(body, ball(p, place, [0.07, 0.1, 0.07]))  # a mirror
        return np.asarray(body)

    def paint(p: Points, normals: Points) -> tuple[Points, Values]:
        x, y, z = p[:, 0], p[:, 1], p[:, 2]
        albedo = np.tile(np.array(colour, float), (len(p), 1))
        gloss = np.full(len(p), 0.38)

        def put(where: npt.NDArray[np.bool_], rgb: list[int], shine: float) -> None:
            albedo[where] = rgb
            gloss[where] = shine

        put((z < 0.3) | (normals[:, 2] < -0.6), [24, 24, 25], 0.02)
        seam = np.abs(np.abs(x - 0.1) - 0.62) < 0.016
        put(seam & (np.abs(y) > half_width - 0.08) & (z > 0.36), [18, 18, 20], 0.0)
        window = (z > shape.belt + 0.045) & (z < shape.height - 0.13)
        flank = np.abs(y) > half_width - 0.3
        pillar = (np.abs(x - 0.1 + 0.55) < 0.045) | (np.abs(x - shape.roof_rear - 0.1) < 0.05)
        put(window & (np.abs(normals[:, 1]) > 0.6) & flank & ~pillar, [22, 25, 28], 0.5)
        inner = np.abs(y) < tumblehome(p) - 0.1
        pane = window & inner & (np.abs(normals[:, 0]) > 0.35)
        put(pane, [26, 30, 33], 0.55)
        ends = np.abs(x) > front - 0.28
        lamps = ends & (z > 0.58) & (z < 0.74) & (np.abs(y) > half_width - 0.36)
        put(lamps & (x > 0), [176, 178, 178], 0.5)
        red = lamps & (x < 0) & (np.abs(y) > half_width - 0.26)
        put(red, [72, 18, 18], 0.45)
        plate = ends & (z > 0.4) & (z < 0.52) & (np.abs(y) < 0.26) & (np.abs(normals[:, 0]) > 0.5)
        put(plate & (x > 0), [214, 212, 204], 0.1)
        put(plate & (x < 0), [158, 140, 80], 0.1)
        put(ends & (x > 0) & (z > 0.56) & (z < 0.68) & (np.abs(y) < 0.36), [22, 22, 24], 0.15)
        for axle in axles:
            radius = np.hypot(x - axle, z - 0.31)
            put((radius < 0.345) & (np.abs(y) > 0.4), [20, 20, 21], 0.03)
            rim = (radius < 0.2) & (np.abs(y) > half_width - 0.12)
            spokes = np.sin(5 * np.arctan2(z - 0.31, x - axle)) > -0.35
            put(rim & spokes, [126, 128, 130], 0.3)
        grime = 1 - 0.25 * np.clip((0.5 - z) / 0.4, 0, 1) + 0.03 * speckle(p, 0.3, 21)
        return albedo * grime[:, None], gloss

    low = [rear - 0.1, -half_width - 0.25, -0.02]
    high = [front + 0.1, half_width + 0.25, shape.height + 0.08]
    return make_solid(distance, paint, low, high, spacing, 4)


def person(coat: tuple[int, int, int], trousers: tuple[int, int, int], stride: float) -> Solid:
    """A walker of 1.74 m; `stride` is the distance between the feet in metres."""

    def distance(p: Points) -> Values:
        chest = ball(p, [0, 0, 1.28], [0.14, 0.22, 0.27])
        hips = ball(p, [0, 0, 1.0], [0.14, 0.18, 0.22])
        whole = melt(melt(chest, hips, 0.1), capsule(p, [0, 0, 1.5], [0.02, 0, 1.58], 0.06), 0.04)
        for side in (-1, 1):
            swing = side * stride / 2
            y = side * 0.09
            knee, hand = [swing * 0.55 + 0.03, y, 0.48], [-swing * 0.4 + 0.06, side * 0.28, 0.88]
            thigh = capsule(p, [0, y, 0.92], knee, 0.1, 0.075)
            leg = np.minimum(thigh, capsule(p, knee, [swing, y, 0.08], 0.075, 0.05))
            shoe = ball(p, [swing + 0.07, y, 0.05], [0.13, 0.05, 0.055])
            arm = capsule(p, [0, side * 0.23, 1.42], hand, 0.06, 0.045)
            whole = melt(melt(whole, np.minimum(leg, shoe), 0.04), arm, 0.04)
        head = ball(p, [0.02, 0, 1.64], [0.1, 0.085, 0.12])
        return np.asarray(np.minimum(whole, head), np.float32)

    def paint(p: Points, normals: Points) -> tuple[Points, Values]:
        x, z = p[:, 0], p[:, 2]
        tone = 1 + 0.1 * speckle(p, 0.12, 31)
        albedo = np.where(z[:, None] > 0.88, np.array(coat, float), np.array(trousers, float))
        albedo = albedo * tone[:, None]
        albedo[z < 0.1] = [24, 22, 22]
        albedo[z > 1.53] = [168, 128, 106]
        albedo[(z > 1.66) | ((z > 1.55) & (x < 0))] = [46, 36, 30]
        return albedo, np.full(len(p), 0.01)

    return make_solid(distance, paint, [-0.45, -0.4, -0.02], [0.5, 0.4, 1.8], 0.022)
