"""Outliers of many kinds: warped, joined and retextured cut-outs, solids and flat shapes.

Outlier exposure (Hendrycks et al., ICLR 2019) carries over to unseen objects by the variety of
shape and texture, more than by the number of photographs.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from .frames import Cutout, Frame
from .solids import make_solid

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
Rng = np.random.Generator


def make_outlier(cutouts: list[Cutout], frames: list[Frame], rng: Rng) -> Cutout:
    """Make one outlier: photographed 40 %, retextured 16 %, solid 32 %, a flat shape 12 %."""
    kind = rng.random()
    if kind < 0.56:
        source = cutouts[rng.integers(len(cutouts))]
        rgb, alpha = _warp(source.rgb, source.alpha, rng)
        if rng.random() < 0.15:
            other = cutouts[rng.integers(len(cutouts))]
            rgb, alpha = _join(rgb, alpha, *_warp(other.rgb, other.alpha, rng), rng)
        if rng.random() < 0.12:
            alpha = alpha * _shape(alpha.shape[0], alpha.shape[1], rng)
        if kind > 0.4:
            rgb = _shade(_texture(alpha.shape, cutouts, frames, rng), alpha, rng)
    elif kind < 0.88:
        alpha, light, part = make_solid(rng)
        if rng.random() < 0.5:
            materials = [_paint(alpha.shape, rng) for _ in range(2)]
        else:
            materials = [_texture(alpha.shape, cutouts, frames, rng) for _ in range(2)]
        lit = np.where(part[..., None] > 0, materials[1], materials[0]) * light[..., None]
        rgb = np.clip(lit, 0, 255).astype(np.uint8)
    else:
        h, w = int(rng.integers(40, 110)), int(rng.integers(40, 130))
        alpha = _shape(h, w, rng)
        rgb = _shade(_texture((h, w), cutouts, frames, rng), alpha, rng)
        if rng.random() < 0.35:  # a part of another material
            part = _shape(h, w, rng)[..., None]
            other = _shade(_texture((h, w), cutouts, frames, rng), alpha, rng)
            rgb = (rgb * (1 - part) + other * part).astype(np.uint8)
    rgb = _recolour(rgb, rng)
    height = float(np.exp(rng.uniform(np.log(0.25), np.log(2.4))))
    return _trim(rgb, alpha, height)


def _trim(rgb: U8, alpha: F32, height: float) -> Cutout:
    rows, columns = np.nonzero(alpha > 0.3)
    if len(rows) < 30:
        alpha = np.ones_like(alpha)
        rows, columns = np.nonzero(alpha)
    part = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return Cutout(rgb[part], alpha[part], height)


def _warp(rgb: U8, alpha: F32, rng: Rng) -> tuple[U8, F32]:
    """Mirror, turn, stretch, and (40 %) bend smoothly."""
    h, w = alpha.shape
    scale = min(1.0, rng.choice([110, 110, 220]) / max(h, w))
    angle = rng.normal(0, 12) if rng.random() < 0.85 else rng.uniform(-180, 180)
    stretch = np.exp(rng.normal(0, 0.18))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    turn = np.deg2rad(angle)
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = linear @ np.diag([mirror * scale * stretch, scale / stretch])
    corners = np.abs(linear) @ np.array([w, h])
    out_w, out_h = int(corners[0]) + 4, int(corners[1]) + 4
    shift = np.array([out_w / 2, out_h / 2]) - linear @ np.array([w / 2, h / 2])
    matrix = np.column_stack([linear, shift])
    size = (out_w, out_h)
    rgb = cv2.warpAffine(rgb, matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(alpha, matrix, size, flags=cv2.INTER_LINEAR)
    if rng.random() < 0.4:
        bend = rng.normal(0, 0.12 * max(size), (2, 4, 4)).astype(np.float32)
        dx, dy = (cv2.resize(b, size, interpolation=cv2.INTER_CUBIC) for b in bend)
        xs, ys = np.meshgrid(np.arange(out_w, dtype=np.float32), np.arange(out_h, dtype=np.float32))
        rgb = cv2.remap(rgb, xs + dx, ys + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        alpha = cv2.remap(alpha, xs + dx, ys + dy, cv2.INTER_LINEAR)
    return rgb, alpha


def _join(rgb: U8, alpha: F32, other: U8, other_alpha: F32, rng: Rng) -> tuple[U8, F32]:
    """Put a part of another cut-out over the first."""
    h, w = alpha.shape
    scale = rng.uniform(0.35, 0.9) * min(h / other.shape[0], w / other.shape[1])
    size = (max(4, int(other.shape[1] * scale)), max(4, int(other.shape[0] * scale)))
    over, matte = (cv2.resize(m, size, interpolation=cv2.INTER_AREA) for m in (other, other_alpha))
    y, x = int(rng.integers(0, h - size[1] + 1)), int(rng.integers(0, w - size[0] + 1))
    area = np.s_[y : y + size[1], x : x + size[0]]
    rgb, alpha = rgb.copy(), alpha.copy()
    rgb[area] = (rgb[area] + (over.astype(np.float32) - rgb[area]) * matte[..., None]).astype(
        np.uint8
    )
    alpha[area] = np.maximum(alpha[area], matte)
    return rgb, alpha


def _shape(h: int, w: int, rng: Rng) -> F32:
    """Draw a mask, soft at the border: blob, polygon, box, ellipse or ring, body on legs."""
    mask = np.zeros((h, w), np.uint8)
    kind = rng.integers(5)
    if kind == 0:
        angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
        radius = np.ones_like(angle)
        for harmonic in range(2, 7):
            phase = rng.uniform(0, 2 * np.pi)
            radius += rng.normal(0, 0.5 / harmonic) * np.cos(harmonic * angle + phase)
        _fill(mask, angle, np.clip(radius, 0.25, 1.4) / 1.4)
    elif kind == 1:
        angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
        _fill(mask, angle, rng.uniform(0.6, 1.0, len(angle)))
    elif kind == 2:
        slant = rng.uniform(-0.2, 0.2) * w
        points = np.array([[0.1 * w + slant, 1], [0.9 * w + slant, 1], [0.9 * w, h], [0.1 * w, h]])
        cv2.fillPoly(mask, [points.astype(np.int32)], 1)
    elif kind == 3:
        center, axes = (w // 2, h // 2), np.array([w // 2 - 1, h // 2 - 1])
        cv2.ellipse(mask, center, axes.tolist(), 0, 0, 360, 1, -1)
        if rng.random() < 0.3:  # a ring, as a tyre
            inner = (axes * rng.uniform(0.3, 0.6)).astype(int)
            cv2.ellipse(mask, center, inner.tolist(), 0, 0, 360, 0, -1)
    else:
        body = (w // 2 - 1, max(3, int(h * rng.uniform(0.2, 0.35))))
        cv2.ellipse(mask, (w // 2, int(h * 0.4)), body, rng.normal(0, 10), 0, 360, 1, -1)
        for _ in range(rng.integers(2, 6)):
            x = int(rng.uniform(0.1, 0.9) * w)
            foot = (int(x + rng.normal(0, 4)), int(h * rng.uniform(0.8, 1.0)))
            cv2.line(mask, (x, int(h * 0.4)), foot, 1, int(rng.integers(2, 9)))
    soft: F32 = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8)
    return soft


def _fill(mask: U8, angle: npt.NDArray[np.float64], radius: npt.NDArray[np.float64]) -> None:
    """Fill the polygon with corners at `radius` (1 = the mask's border) in direction `angle`."""
    half = np.array(mask.shape[::-1]) / 2
    corners = half + half * radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    cv2.fillPoly(mask, [corners.astype(np.int32)], 1)


def _texture(shape: tuple[int, ...], cutouts: list[Cutout], frames: list[Frame], rng: Rng) -> U8:
    """Return an (h, w, 3) texture: of a cut-out, of a street, or drawn."""
    h, w = shape[:2]
    kind = rng.random()
    if kind < 0.5:
        if kind < 0.42:
            source = cutouts[rng.integers(len(cutouts))]
            sh, sw = source.alpha.shape
            part = source.rgb[sh // 5 : sh - sh // 5, sw // 5 : sw - sw // 5]
        else:
            part = frames[rng.integers(len(frames))].image
        size = np.maximum(8, (np.array(part.shape[:2]) * rng.uniform(0.2, 0.6)).astype(int))
        size = np.minimum(size, part.shape[:2])
        y, x = (int(rng.integers(0, n - s + 1)) for n, s in zip(part.shape[:2], size, strict=True))
        patch = part[y : y + size[0], x : x + size[1]]
        return cv2.resize(patch, (w, h), interpolation=cv2.INTER_LINEAR)
    return _drawn_texture(h, w, rng)


def _drawn_texture(h: int, w: int, rng: Rng) -> U8:
    """Draw one colour with noise at three scales; 30 % striped or checked."""
    base = rng.uniform(10, 245, 3)
    canvas = np.broadcast_to(base, (h, w, 3)).astype(np.float32)
    for cells in (3, 8, 24):
        amount = rng.exponential(14)
        noise = rng.normal(0, amount, (cells, cells, 3 if rng.random() < 0.3 else 1))
        grown = cv2.resize(noise.astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
        canvas = canvas + (grown[..., None] if grown.ndim == 2 else grown)
    if rng.random() < 0.3:
        turn, period = rng.uniform(0, np.pi), rng.uniform(4, 25)
        ys, xs = np.mgrid[:h, :w] * (2 * np.pi / period)
        wave = np.sin(xs * np.cos(turn) + ys * np.sin(turn)) > rng.uniform(-0.5, 0.5)
        if rng.random() < 0.4:
            wave ^= np.sin(ys * np.cos(turn) - xs * np.sin(turn)) > 0
        canvas = np.where(wave[..., None], canvas, rng.uniform(10, 245, 3))
    return np.clip(canvas, 0, 255).astype(np.uint8)


def _paint(shape: tuple[int, ...], rng: Rng) -> U8:
    """Draw a smooth surface of one colour, sometimes glossy, (h, w, 3)."""
    h, w = shape[:2]
    level = rng.choice([rng.uniform(15, 60), rng.uniform(60, 180), rng.uniform(180, 245)])
    colour = level + rng.normal(0, rng.choice([4, 40]), 3)
    canvas = np.broadcast_to(np.clip(colour, 5, 250), (h, w, 3)).astype(np.float32)
    if rng.random() < 0.4:  # the sky's reflection
        at, wide = rng.uniform(0, 1), rng.uniform(0.02, 0.2)
        gloss = np.exp(-(((np.arange(h) / h - at) / wide) ** 2)) * rng.uniform(10, 90)
        canvas = canvas + gloss[:, None, None]
    return np.clip(canvas + rng.normal(0, 2, (h, w, 1)), 0, 255).astype(np.uint8)


def _shade(rgb: U8, alpha: F32, rng: Rng) -> U8:
    """Light the shape from above or a side, and darken its border as if it were round."""
    h, w = alpha.shape
    down, right = rng.normal(-0.25, 0.2), rng.normal(0, 0.2)
    light = 1 + down * np.linspace(-1, 1, h)[:, None] + right * np.linspace(-1, 1, w)[None]
    inside = cv2.GaussianBlur((alpha > 0.5).astype(np.float32), (0, 0), max(1.0, 0.12 * min(h, w)))
    light = light * (1 - rng.uniform(0, 0.5) * (1 - inside))
    return np.clip(rgb * light[..., None], 0, 255).astype(np.uint8)


def _recolour(rgb: U8, rng: Rng) -> U8:
    if rng.random() < 0.15:
        rgb = rgb[..., rng.permutation(3)]
    if rng.random() < 0.35:
        hsv = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + int(rng.integers(0, 180))) % 180
        hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.2, 1.4), 0, 255)
        rgb = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return np.ascontiguousarray(rgb)
