"""Paint on the road: flat words, symbols, lines, grids and patches, which are normal.

Bicycle symbols and box junctions are rare in the training set, and a network takes rare paint for
obstacles. Paint differs from an obstacle by lying in the plane of the ground, so it is drawn there
and projected.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from .frames import CAMERA_HEIGHT_M

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Rng = np.random.Generator
PIXELS_PER_M = 50  # of the drawing, before projection
FOCAL = 450.0  # pixels; a field of view of 56 degrees at 480 pixels, about CamVid's
LETTERS = "ABCDEFGHIKLMNOPRSTUWXYZ0123456789"


def paint_ground(image: U8, ground: npt.NDArray[np.bool_], horizon: float, rng: Rng) -> F32:
    """Paint one marking on the visible ground of `image`, in place.

    Args:
        image: (H, W, 3) uint8 RGB.
        ground: (H, W) bool, visible ground.
        horizon: its row.
        rng: random numbers.

    Returns:
        (H, W) float32, the paint's opacity in [0, 1].
    """
    drawing = _drawing(rng)
    height, width = image.shape[:2]
    matrix = _to_image(drawing.shape, width, horizon, rng)
    flags = {"flags": cv2.INTER_AREA, "borderMode": cv2.BORDER_CONSTANT}
    alpha: F32 = cv2.warpPerspective(drawing, matrix, (width, height), **flags)
    left, top, w, h = cv2.boundingRect((alpha > 0.02).astype(np.uint8))
    area = np.s_[top : top + h, left : left + w]
    if h > 1 and w > 1:
        worn = rng.normal(0, rng.uniform(0, 0.35), (h // 4 + 1, w // 4 + 1)).astype(np.float32)
        worn = cv2.resize(worn, (w, h), interpolation=cv2.INTER_LINEAR)
        alpha[area] *= np.clip(rng.uniform(0.45, 1.0) + worn, 0, 1) * ground[area]
    if (alpha[area] > 0.2).sum() < 6:
        return np.zeros_like(alpha)
    # Paint is lit like the ground.
    light = float(np.median(image[::4, ::4][ground[::4, ::4]]))
    tone = rng.random()
    if tone < 0.6:  # white
        colour = np.full(3, light * rng.uniform(1.3, 2.3))
    elif tone < 0.75:  # yellow
        colour = light * rng.uniform(1.2, 2.0) * np.array([1.0, rng.uniform(0.75, 0.95), 0.35])
    elif tone < 0.85:  # red or green surfacing
        colour = light * rng.uniform(0.7, 1.2) * rng.permutation([1.0, 0.6, 0.55])
    else:  # tar, a patch, an iron cover
        colour = np.full(3, light * rng.uniform(0.35, 0.85))
    grain = 1 + rng.normal(0, 0.04, (h, w, 1)).astype(np.float32)
    paint = np.clip(np.clip(colour, 4, 250).astype(np.float32) * grain, 0, 255)
    part = image[area]
    image[area] = (part + (paint - part) * alpha[area][..., None]).astype(np.uint8)
    return alpha


def _to_image(
    shape: tuple[int, ...], width: int, horizon: float, rng: Rng
) -> npt.NDArray[np.float64]:
    """Return the homography of the drawing to a random place and heading on the ground."""
    h, w = shape[0] / PIXELS_PER_M, shape[1] / PIXELS_PER_M
    far = 3.0 + 22.0 * rng.beta(1.0, 1.8)
    aside = rng.normal(0, 3.0)
    turn = rng.normal(0, 0.15) + (np.pi / 2 if rng.random() < 0.15 else 0.0)
    # The drawing's rows run from far to near.
    corners = np.array([[-w, h], [w, h], [w, -h], [-w, -h]]) / 2
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    x, z = (corners @ rotation.T + [aside, far + h / 2]).T
    z = np.maximum(z, 1.5)
    target = np.column_stack([width / 2 + FOCAL * x / z, horizon + FOCAL * CAMERA_HEIGHT_M / z])
    size = np.array([[0, 0], [shape[1], 0], [shape[1], shape[0]], [0, shape[0]]], np.float32)
    return np.asarray(cv2.getPerspectiveTransform(size, target.astype(np.float32)))


def _drawing(rng: Rng) -> F32:
    """Draw a marking seen from above, (h, w) float32 in [0, 1]."""
    kind = rng.choice(7, p=[0.2, 0.2, 0.15, 0.15, 0.1, 0.1, 0.1])
    m = PIXELS_PER_M
    if kind == 0:  # a word, stretched along the road
        text = "".join(rng.choice(list(LETTERS), rng.integers(1, 5)))
        canvas = np.zeros((60, 44 * len(text) + 10), np.uint8)
        thick = int(rng.integers(4, 9))
        cv2.putText(canvas, text, (4, 50), cv2.FONT_HERSHEY_SIMPLEX, 1.8, 255, thick)
        wide = rng.uniform(0.4, 0.9) * len(text)
        canvas = cv2.resize(canvas, (int(wide * m), int(rng.uniform(1.2, 3.5) * m)))
    elif kind == 1:  # a bicycle from above the handlebar, or parts of one
        canvas = np.zeros(
            (int(rng.uniform(1.5, 3.0) * m), int(rng.uniform(0.7, 1.3) * m)), np.uint8
        )
        _bicycle(canvas, rng)
    elif kind == 2:  # an arrow
        canvas = np.zeros((int(rng.uniform(2, 5) * m), int(rng.uniform(0.5, 1.6) * m)), np.uint8)
        h, w = canvas.shape
        tip = (int(rng.uniform(0, 1) * w), 3)
        bend = (w // 2, int(0.4 * h))
        thick = int(rng.integers(5, 12))
        cv2.line(canvas, (w // 2, h - 1), bend, 255, thick)
        cv2.line(canvas, bend, tip, 255, thick)
        head = np.array([tip, (tip[0] - w // 4, h // 4), (tip[0] + w // 4, h // 4)])
        cv2.fillPoly(canvas, [head], 255)
    elif kind == 3:  # lines: lane marks, stop lines, zebras
        canvas = np.zeros((int(rng.uniform(0.4, 6) * m), int(rng.uniform(0.2, 5) * m)), np.uint8)
        period = rng.uniform(0.3, 2.0) * m
        share = rng.uniform(0.15, 0.7)
        columns = (np.arange(canvas.shape[1]) % period) < share * period
        canvas[:, columns] = 255
        if rng.random() < 0.4:
            canvas[(np.arange(canvas.shape[0]) % period) > share * period] = 0
    elif kind == 4:  # a box with crossing lines
        side = int(rng.uniform(2, 6) * m)
        canvas = np.zeros((side, side), np.uint8)
        step, thick = int(rng.uniform(0.5, 1.6) * m), int(rng.integers(4, 9))
        for start in range(-side, side, step):
            cv2.line(canvas, (start, 0), (start + side, side), 255, thick)
            cv2.line(canvas, (start + side, 0), (start, side), 255, thick)
        cv2.rectangle(canvas, (0, 0), (side - 1, side - 1), 255, thick)
    elif kind == 5:  # a cover, a mini roundabout, a stain
        side = int(rng.uniform(0.4, 2.0) * m)
        canvas = np.zeros((side, side), np.uint8)
        thick = -1 if rng.random() < 0.6 else max(2, side // 8)
        cv2.circle(canvas, (side // 2, side // 2), side // 2 - side // 10, 255, thick)
    else:  # a patch of another surface
        canvas = np.zeros((int(rng.uniform(0.4, 8) * m), int(rng.uniform(0.4, 3) * m)), np.uint8)
        corners = rng.uniform(0.0, 0.25, (4, 2)) * canvas.shape[::-1]
        ends = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * canvas.shape[::-1]
        inward = np.where(ends > 0, -corners, corners)
        cv2.fillPoly(canvas, [(ends + inward).astype(np.int32)], 255)
    soft: F32 = cv2.GaussianBlur(canvas, (0, 0), 1.2).astype(np.float32) / 255
    return soft


def _bicycle(canvas: U8, rng: Rng) -> None:
    h, w = canvas.shape
    thick = int(rng.integers(3, 7))
    radius = int(0.24 * w)
    wheels = [(int(0.25 * w), int(0.75 * h)), (int(0.75 * w), int(0.75 * h))]
    stretch = max(radius, int(0.18 * h))
    for wheel in wheels:
        cv2.ellipse(canvas, wheel, (radius, stretch), 0, 0, 360, 255, thick)
    seat, bar = (int(0.38 * w), int(0.42 * h)), (int(0.68 * w), int(0.35 * h))
    for start, end in ((wheels[0], seat), (seat, wheels[1]), (wheels[1], bar), (seat, bar)):
        cv2.line(canvas, start, end, 255, thick)
    if rng.random() < 0.4:  # a rider
        cv2.circle(canvas, (int(0.55 * w), int(0.1 * h)), int(0.1 * w), 255, -1)
        cv2.line(canvas, seat, (int(0.55 * w), int(0.15 * h)), 255, thick)
