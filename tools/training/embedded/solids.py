"""Solid things drawn from parts: creatures, upright figures, vessels, boats, furniture, heaps.

Cut-outs are few, and flat shapes have no body. Solids have parts, light and shadow like unfamiliar
objects, and no two are alike, so that the network cannot memorise them.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
Rng = np.random.Generator
# One tapered rod: its two ends (x, y) and the radius at each, all in units of the height.
Rod = tuple[float, float, float, float, float, float]


def make_solid(rng: Rng) -> tuple[F32, F32, npt.NDArray[np.intp]]:
    """Draw one solid.

    Returns:
        alpha (h, w) float32 in [0, 1], soft at the border; light (h, w) float32 around 1, a factor
        of the material's colour; part (h, w) int, 0 or 1 for one of two materials.
    """
    kind = rng.choice(6, p=[0.24, 0.12, 0.2, 0.2, 0.09, 0.15])
    if kind == 0:
        return _rods(*_creature(rng), rng)
    if kind == 5:
        return _rods(*_upright(rng), rng)
    if kind == 1:
        return _vessel(rng)
    if kind == 2:
        return _boat(rng)
    if kind == 3:
        return _furniture(rng)
    return _rods(*_heap(rng), rng)


def _creature(rng: Rng) -> tuple[list[Rod], float]:
    """Draw a body on two or four legs with neck, head, ears and tail; return rods and width."""
    long = rng.uniform(0.5, 1.5)
    back = rng.uniform(0.25, 0.5)  # row of the back's line, from the top
    girth = rng.uniform(0.1, 0.22)
    x0, x1 = 0.25, 0.25 + long
    hip, chest = girth * rng.uniform(0.7, 1.2), girth * rng.uniform(0.8, 1.3)
    rods: list[Rod] = [(x0, back, x1, back + rng.normal(0, 0.05), hip, chest)]
    leg = rng.uniform(0.025, 0.08)
    places = (x0, x1) if rng.random() < 0.7 else ((x0 + x1) / 2,)
    for x in places:
        for side in (-1.0, 1.0):
            foot = x + side * rng.uniform(0.02, 0.14) + rng.normal(0, 0.03)
            knee = (x + foot) / 2 + rng.normal(0, 0.04)
            middle = (back + 1) / 2 + rng.normal(0, 0.03)
            rods += [(x, back, knee, middle, leg * 1.7, leg), (knee, middle, foot, 0.97, leg, leg)]
    head_x, head_y = x1 + rng.uniform(0.02, 0.35), rng.uniform(0.05, back + 0.2)
    neck = girth * rng.uniform(0.35, 0.7)
    size = rng.uniform(0.05, 0.13)
    nose = head_x + rng.uniform(0.02, 0.25)
    rods += [
        (x1, back, head_x, head_y, chest * 0.8, neck),
        (head_x, head_y, nose, head_y + rng.uniform(-0.02, 0.14), size, size * 0.6),
    ]
    for _ in range(rng.integers(0, 3)):
        tip = (head_x + rng.normal(0, 0.08), head_y - rng.uniform(0.05, 0.2))
        rods.append((head_x, head_y, *tip, size * 0.4, 0.015))
    if rng.random() < 0.7:
        rods.append((x0, back, x0 - rng.uniform(0, 0.3), back + rng.normal(0.1, 0.2), 0.03, 0.015))
    return rods, x1 + 0.7


def _upright(rng: Rng) -> tuple[list[Rod], float]:
    """Draw a standing or sitting body: penguin, owl, sitting dog, statue, mushroom."""
    middle = 0.6
    girth = rng.uniform(0.12, 0.3)
    top, foot = rng.uniform(0.2, 0.4), 1 - girth * rng.uniform(0.5, 1.0)
    lean = rng.normal(0, 0.06)
    head = rng.uniform(0.07, 0.2)
    rods: list[Rod] = [
        (middle, foot, middle + lean, top + 0.1, girth, girth * rng.uniform(0.4, 1.1)),
        (middle + lean, top, middle + lean, head + 0.02, girth * rng.uniform(0.3, 0.7), head),
    ]
    rods.insert(1, (middle + 0.02, foot, middle + lean, top + 0.15, girth * 0.7, girth * 0.5))
    for side in (-1.0, 1.0):
        if rng.random() < 0.7:  # wings, arms
            tip = middle + side * girth * rng.uniform(0.8, 1.6), rng.uniform(0.5, 0.85)
            rods.append((middle + lean + side * girth * 0.7, top + 0.12, *tip, 0.06, 0.03))
        if rng.random() < 0.8:  # feet
            toe = middle + side * girth * rng.uniform(0.4, 1.1)
            rods.append((middle + side * girth * 0.4, foot, toe, 0.96, 0.06, 0.04))
        if rng.random() < 0.4:  # ears
            rods.append((middle + lean, head, middle + lean + side * head, 0.03, 0.04, 0.02))
    if rng.random() < 0.6:  # beak, snout
        way = rng.choice([-1.0, 1.0]) * head * rng.uniform(0.9, 1.8)
        rods.append((middle + lean, head, middle + lean + way, head + 0.03, head * 0.5, 0.02))
    return rods, 1.2


def _heap(rng: Rng) -> tuple[list[Rod], float]:
    """Draw a heap of short thick rods and balls, like a fallen load."""
    wide = rng.uniform(0.6, 2.0)
    rods: list[Rod] = []
    for _ in range(rng.integers(2, 9)):
        radius = rng.uniform(0.06, 0.25)
        x, y = rng.uniform(0.2, 0.2 + wide), 1 - radius - rng.exponential(0.15)
        turn, length = rng.normal(0, 0.7), rng.uniform(0, 0.5)
        end = (x + length * np.cos(turn), min(1 - radius, y + length * np.sin(turn)))
        rods.append((x, max(0.1, y), *end, radius, radius * rng.uniform(0.6, 1.2)))
    return rods, wide + 0.8


def _rods(rods: list[Rod], width: float, rng: Rng) -> tuple[F32, F32, npt.NDArray[np.intp]]:
    """Render tapered rods, lit from above; near ones hide far ones."""
    h = int(rng.integers(50, 100))
    w = int(min(220, width * h))
    ys, xs = np.mgrid[:h, :w].astype(np.float32) / h
    depth = np.full((h, w), -1, np.float32)
    light, part = np.ones((h, w), np.float32), np.zeros((h, w), np.intp)
    sun = np.array([rng.normal(0, 0.5), -rng.uniform(0.4, 1.0), rng.uniform(0.4, 1.0)])
    sun /= np.linalg.norm(sun)
    ambient = rng.uniform(0.35, 0.75)
    second = rng.integers(len(rods) + 1)  # rods from this one on are of the other material
    for index, (ax, ay, bx, by, ra, rb) in enumerate(rods):
        dx, dy = bx - ax, by - ay
        along = ((xs - ax) * dx + (ys - ay) * dy) / (dx * dx + dy * dy + 1e-6)
        along = np.clip(along, 0, 1)
        off_x, off_y = xs - ax - along * dx, ys - ay - along * dy
        radius = ra + along * (rb - ra)
        z2 = radius**2 - off_x**2 - off_y**2
        z = np.sqrt(np.maximum(z2, 0))
        nearer = (z2 > 0) & (z + 0.01 * (index % 3) > depth)
        facing = (off_x * sun[0] + off_y * sun[1] + z * sun[2]) / np.maximum(radius, 1e-3)
        lit = ambient + (1.15 - ambient) * np.maximum(0, facing)
        depth = np.where(nearer, z + 0.01 * (index % 3), depth)
        light = np.where(nearer, lit, light).astype(np.float32)
        part[nearer] = int(index >= second)
    return _soft(depth > 0), light, part


def _vessel(rng: Rng) -> tuple[F32, F32, npt.NDArray[np.intp]]:
    """Draw a body of revolution: vase, bottle, bin, cone, drum."""
    h = int(rng.integers(45, 110))
    half = h * rng.uniform(0.15, 0.5)
    knots = rng.uniform(0.25, 1.0, rng.integers(2, 6))
    profile = np.interp(np.linspace(0, 1, h), np.linspace(0, 1, len(knots)), knots)
    profile = cv2.GaussianBlur(profile.astype(np.float32)[:, None], (1, 0), 0, sigmaY=h / 20)
    w = int(2 * half) + 6
    across = (np.arange(w, dtype=np.float32)[None] - w / 2) / (half * profile.reshape(-1, 1))
    sun = rng.uniform(-0.8, 0.8)
    facing = np.sqrt(np.maximum(0, 1 - across**2)) * np.sqrt(1 - sun * sun) + across * sun
    light = rng.uniform(0.3, 0.7) + 0.6 * np.maximum(0, facing)
    rows = np.linspace(0, rng.uniform(1, 6), h).astype(int) % 2
    part = np.broadcast_to(rows[:, None] * int(rng.random() < 0.6), (h, w)).astype(np.intp)
    return _soft(np.abs(across) < 1), light.astype(np.float32), part


def _boat(rng: Rng) -> tuple[F32, F32, npt.NDArray[np.intp]]:
    """Draw a hull with a rim, sometimes a cabin or a mast: boat, trough, tub, sledge."""
    h = int(rng.integers(40, 90))
    w = int(h * rng.uniform(1.2, 3.0))
    canvas, light = np.zeros((h, w), np.uint8), np.ones((h, w), np.float32)
    part = np.zeros((h, w), np.intp)
    rim = h * rng.uniform(0.25, 0.6)
    xs = np.linspace(0, w - 1, 30)
    sag = h * rng.uniform(0, 0.2) * np.sin(np.pi * xs / w)
    bow, stern = w * rng.uniform(0, 0.25), w * rng.uniform(0, 0.25)
    top = np.column_stack([xs, rim - h * 0.1 + sag])
    keel = np.column_stack([np.linspace(w - 1 - stern, bow, 10), np.full(10, h - 1.0)])
    cv2.fillPoly(canvas, [np.vstack([top, keel]).astype(np.int32)], 1)
    shade = np.linspace(rng.uniform(0.9, 1.3), rng.uniform(0.3, 0.8), h)[:, None]
    light *= shade.astype(np.float32)
    if rng.random() < 0.5:  # planks
        rows = np.sin(np.arange(h) * (2 * np.pi / rng.uniform(4, 12))) > 0.8
        light[rows] *= rng.uniform(0.5, 0.8)
    band = np.array([[0, rng.uniform(0, 3)], [0, rng.uniform(2, h * 0.2)]])
    strip = np.vstack([top + band[0], (top + band[1])[::-1]]).astype(np.int32)
    paint = np.zeros((h, w), np.uint8)
    cv2.fillPoly(paint, [strip], 1)
    for _ in range(rng.integers(0, 3)):
        x, wide = rng.uniform(0.1, 0.8) * w, rng.uniform(0.03, 0.35) * w
        box = np.array([[x, rng.uniform(0, rim)], [x + wide, rim + h * 0.05]]).astype(int)
        cv2.rectangle(canvas, box[0].tolist(), box[1].tolist(), 1, -1)
        cv2.rectangle(paint, box[0].tolist(), box[1].tolist(), int(rng.integers(0, 2)), -1)
    part[paint > 0] = 1
    return _soft(canvas > 0), light, part


def _furniture(rng: Rng) -> tuple[F32, F32, npt.NDArray[np.intp]]:
    """Draw planks and boxes from a corner: bench, crate, chair, shelf, barrier."""
    h = int(rng.integers(45, 100))
    wide, deep = rng.uniform(0.5, 2.0), rng.uniform(0.1, 0.5)
    slope = rng.uniform(0.1, 0.45) * (1 if rng.random() < 0.5 else -1)
    w = int(min(220, h * (wide + deep + 0.2)))
    canvas, light = np.zeros((h, w), np.uint8), np.ones((h, w), np.float32)
    part = np.zeros((h, w), np.uint8)
    faces = rng.uniform(0.35, 1.25, 3)  # front, side, top
    thick = rng.uniform(0.03, 0.12)
    rows = np.sort(rng.uniform(0.1, 0.9, rng.integers(1, 5)))
    # Boxes as (x, y, width, height) in units of the height; legs first, planks over them.
    boxes = [(x, rows[0], thick, 0.95 - rows[0]) for x in (0.02, wide - thick)]
    boxes += [(rng.uniform(0, wide), rows[0], thick, 0.9 - rows[0])] * int(rng.integers(0, 2))
    boxes += [(0.0, row, wide, thick * rng.uniform(0.7, 2.5)) for row in rows]
    if rng.random() < 0.3:  # closed, like a crate
        boxes = [(0.0, rows[0], wide, 0.95 - rows[0])]
    shift = np.array([deep, -abs(slope) * deep])
    for index, (x, y, bw, bh) in enumerate(boxes):
        front = np.array([[x, y], [x + bw, y], [x + bw, y + bh], [x, y + bh]]) + 0.03
        side = np.array([front[1], front[2], front[2] + shift, front[1] + shift])
        top = np.array([front[0], front[1], front[1] + shift, front[0] + shift])
        for face, bright in zip((side, top, front), faces[[1, 2, 0]], strict=True):
            corners = (face * h).astype(np.int32)
            cv2.fillPoly(canvas, [corners], 1)
            cv2.fillPoly(light, [corners], float(bright))
            cv2.fillPoly(part, [corners], int(index % 3 == 2))
    if slope < 0:
        canvas, light, part = (np.ascontiguousarray(m[:, ::-1]) for m in (canvas, light, part))
    return _soft(canvas > 0), light, part.astype(np.intp)


def _soft(mask: npt.NDArray[np.bool_]) -> F32:
    soft: F32 = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)
    return soft
