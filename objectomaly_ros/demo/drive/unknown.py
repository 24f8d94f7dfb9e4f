"""Objects outside the classes of street data sets. Metres; each stands on z = 0."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

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


def tyre() -> Solid:
    """A tilted lorry tyre, 1 m across."""

    def turned(p: Points) -> Points:
        q = p - np.array([0, 0, 0.5])
        tilt = 0.35
        x = q[..., 0] * np.cos(tilt) + q[..., 2] * np.sin(tilt)
        return np.stack([x, q[..., 1], q[..., 2] * np.cos(tilt) - q[..., 0] * np.sin(tilt)], -1)

    def distance(p: Points) -> Values:
        q = turned(p)
        ring = np.hypot(q[..., 1], q[..., 2]) - 0.36
        tread = 0.012 * np.sign(np.sin(16 * np.arctan2(q[..., 1], q[..., 2])))
        flat = np.maximum(np.abs(ring) - 0.13 - tread * (ring > 0.05), np.abs(q[..., 0]) - 0.15)
        return np.asarray(flat - 0.02)

    def paint(p: Points, normals: Points) -> tuple[Points, Values]:
        q = turned(p)
        ring = np.hypot(q[..., 1], q[..., 2])
        grey = 40 + 9 * speckle(p, 0.1, 1) + 16 * (ring < 0.3)
        return grey[:, None] * np.array([1.0, 0.99, 0.96]), np.full(len(p), 0.08)

    return make_solid(distance, paint, [-0.5, -0.6, -0.1], [0.5, 0.6, 1.1], 0.02)


def crate() -> Solid:
    """A wooden crate of 1.0 x 0.8 x 0.7 m."""
    half = np.array([0.5, 0.4, 0.35])

    def distance(p: Points) -> Values:
        slats = 0.012 * (np.mod(p[..., 2], 0.14) < 0.02)
        return np.asarray(box(p, [0, 0, 0.35], half, 0.015) + slats)

    def paint(p: Points, normals: Points) -> tuple[Points, Values]:
        board = np.floor(p[:, 2] / 0.14)
        grain = speckle(p * np.array([0.3, 0.3, 3], np.float32), 0.06, 2)
        tone = 1 + 0.12 * np.sin(board * 12.9) + 0.07 * grain
        edge = (np.abs(p[:, :2]) > half[:2] - 0.07).sum(axis=1) + (np.abs(p[:, 2] - 0.35) > 0.29)
        tone = np.where(edge >= 2, tone * 0.78, tone)
        tone = np.where(np.mod(p[:, 2], 0.14) < 0.02, tone * 0.45, tone)
        return tone[:, None] * np.array([176, 132, 82]), np.full(len(p), 0.03)

    return make_solid(distance, paint, [-0.55, -0.45, -0.05], [0.55, 0.45, 0.75], 0.018)


def deer() -> Solid:
    """A roe deer across the road, head up."""

    def distance(p: Points) -> Values:
        body = melt(
            ball(p, [0, -0.28, 0.82], [0.19, 0.34, 0.23]),
            ball(p, [0, 0.25, 0.85], [0.19, 0.36, 0.24]),
            0.15,
        )
        neck = capsule(p, [0, 0.48, 0.95], [0.02, 0.68, 1.32], 0.14, 0.085)
        head = melt(
            ball(p, [0.02, 0.74, 1.38], [0.085, 0.13, 0.1]),
            capsule(p, [0.02, 0.78, 1.36], [0.04, 0.98, 1.28], 0.075, 0.045),
            0.05,
        )
        whole = melt(melt(body, neck, 0.12), head, 0.05)
        for side in (-0.1, 0.1):
            for foot, knee, hip in ((-0.5, -0.54, -0.42), (0.38, 0.42, 0.4)):
                leg = np.minimum(
                    capsule(p, [side, hip, 0.72], [side, knee, 0.4], 0.1, 0.05),
                    capsule(p, [side, knee, 0.4], [side, foot, 0.03], 0.045, 0.03),
                )
                whole = melt(whole, leg, 0.06)
            ear = capsule(p, [side * 0.6, 0.7, 1.44], [side * 1.5, 0.66, 1.58], 0.045, 0.02)
            antler = capsule(p, [side * 0.4, 0.74, 1.46], [side * 1.1, 0.72, 1.76], 0.018, 0.01)
            whole = np.minimum(melt(whole, ear, 0.03), antler)
        return np.asarray(
            np.minimum(whole, ball(p, [0, -0.63, 0.86], [0.05, 0.06, 0.1])), np.float32
        )

    def paint(p: Points, normals: Points) -> tuple[Points, Values]:
        tone = 1 + 0.1 * speckle(p, 0.05, 3) + 0.07 * speckle(p, 0.3, 4)
        colour = tone[:, None] * np.array([124, 88, 56])
        belly = np.clip(-normals[:, 2] * 1.2, 0, 1)[:, None] * (p[:, 2] > 0.5)[:, None]
        colour = colour * (1 - 0.5 * belly) + np.array([180, 160, 130]) * 0.5 * belly
        colour[p[:, 1] < -0.6] = [205, 200, 190]
        colour[(p[:, 1] > 0.93)] = [34, 28, 26]
        colour[p[:, 2] < 0.08] = [30, 26, 24]
        return colour, np.full(len(p), 0.02)

    return make_solid(distance, paint, [-0.3, -0.75, -0.02], [0.3, 1.1, 1.85], 0.02)


def sofa() -> Solid:
    """A sofa of two seats, 1.6 m wide, facing the camera (-x)."""

    def distance(p: Points) -> Values:
        parts = [
            box(p, [0.02, 0, 0.3], [0.4, 0.66, 0.16], 0.05),
            box(p, [0.34, 0, 0.55], [0.12, 0.7, 0.32], 0.07),
            box(p, [0, -0.72, 0.36], [0.42, 0.1, 0.26], 0.07),
            box(p, [0, 0.72, 0.36], [0.42, 0.1, 0.26], 0.07),
            box(p, [-0.05, -0.31, 0.49], [0.34, 0.29, 0.08], 0.06),
            box(p, [-0.05, 0.31, 0.49], [0.34, 0.29, 0.08], 0.06),
        ]
        feet = [
            cylinder(p, [x, y, 0.07], 2, 0.04, 0.07) for x in (-0.34, 0.36) for y in (-0.68, 0.68)
        ]
        return np.asarray(np.minimum.reduce(parts + feet), np.float32)

    def paint(p: Points, normals: Points) -> tuple[Points, Values]:
        tone = 1 + 0.06 * speckle(p, 0.03, 5) + 0.1 * speckle(p, 0.4, 6)
        colour = tone[:, None] * np.array([134, 62, 58])
        colour[p[:, 2] < 0.13] = [40, 32, 26]
        return colour, np.full(len(p), 0.05)

    return make_solid(distance, paint, [-0.5, -0.9, -0.02], [0.55, 0.9, 0.95], 0.025)


def boulder() -> Solid:
    """A rock of 0.9 m."""

    def distance(p: Points) -> Values:
        bumps = 0.05 * speckle(p, 0.45, 7) + 0.018 * speckle(p, 0.13, 8)
        return np.asarray(np.maximum(ball(p, [0, 0, 0.28], [0.5, 0.58, 0.42]) + bumps, -p[..., 2]))

    def paint(p: Points, normals: Points) -> tuple[Points, Values]:
        tone = 1 + 0.12 * speckle(p, 0.06, 9) + 0.12 * speckle(p, 0.3, 10)
        moss = np.clip(normals[:, 2] * 1.4 - 0.6 + 0.3 * speckle(p, 0.2, 11), 0, 0.8)[:, None]
        stone, green = tone[:, None] * np.array([140, 128, 112]), np.array([84, 92, 52])
        return stone * (1 - moss) + green * moss, np.full(len(p), 0.02)

    return make_solid(distance, paint, [-0.7, -0.75, -0.02], [0.7, 0.75, 0.85], 0.02)


def beach_ball() -> Solid:
    """A striped ball of 0.7 m."""

    def distance(p: Points) -> Values:
        return ball(p, [0, 0, 0.35], 0.35)

    def paint(p: Points, normals: Points) -> tuple[Points, Values]:
        angle = np.arctan2(normals[:, 1], normals[:, 2] + 0.2 * normals[:, 0])
        stripe = np.floor((angle + np.pi) / (2 * np.pi) * 6).astype(int) % 3
        colours = np.array([[206, 60, 44], [228, 226, 220], [232, 180, 40]], float)
        return colours[stripe], np.full(len(p), 0.22)

    return make_solid(distance, paint, [-0.4, -0.4, -0.05], [0.4, 0.4, 0.75], 0.018)


def pipes() -> Solid:
    """A bundle of drain pipes, 1.5 m long."""
    places = [(-0.16, 0.11), (0.06, 0.11), (0.28, 0.11), (-0.05, 0.3), (0.17, 0.3)]

    def distance(p: Points) -> Values:
        return np.asarray(
            np.minimum.reduce([cylinder(p, [x, 0, z], 1, 0.11, 0.75) for x, z in places]),
            np.float32,
        )

    def paint(p: Points, normals: Points) -> tuple[Points, Values]:
        tone = 1 + 0.06 * speckle(p, 0.1, 12)
        colour = tone[:, None] * np.array([186, 104, 58])
        inside = np.abs(p[:, 1]) > 0.73
        centres = np.array(places)
        near = np.min(np.linalg.norm(p[:, None, [0, 2]] - centres[None], axis=2), axis=1)
        colour[inside & (near < 0.085)] = [36, 26, 22]
        return colour, np.full(len(p), 0.1)

    return make_solid(distance, paint, [-0.35, -0.85, -0.05], [0.45, 0.85, 0.5], 0.02)


UNKNOWN: dict[str, Callable[[], Solid]] = {
    "tyre": tyre, "crate": crate, "deer": deer, "sofa": sofa, "boulder": boulder,
    "ball": beach_ball, "pipes": pipes,
}  # fmt: skip
