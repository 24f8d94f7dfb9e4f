"""Paints flat surfaces: noise, ground, sky, trees. RGB uint8."""

from __future__ import annotations

import functools
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

Texture: TypeAlias = npt.NDArray[np.uint8]
Field: TypeAlias = npt.NDArray[np.float32]

METRES_PER_TEXEL = 0.025
GROUND_LENGTH_M, GROUND_HALF_WIDTH_M = 64.0, 9.6
KERB_M, LANE_M = 5.3, 3.2  # from the street's middle to the kerb, and to the lanes' edge
_MOTION_BLUR_M = 0.07  # way while the shutter is open: 7 m/s, 10 ms


def periodic_noise(shape: tuple[int, int], grain: float, rng: np.random.Generator) -> Field:
    """Return noise that tiles, zero mean, unit deviation, structures of about `grain` texels."""
    spectrum = np.fft.rfft2(rng.normal(size=shape))
    fy = np.fft.fftfreq(shape[0])[:, None]
    fx = np.fft.rfftfreq(shape[1])[None]
    spectrum *= np.exp(-((fx**2 + fy**2) * (grain * 1.5) ** 2) * 2)
    field = np.fft.irfft2(spectrum, shape)
    return np.asarray((field - field.mean()) / field.std(), np.float32)


@functools.cache
def _mottled_tile() -> Field:
    rng = np.random.default_rng(20250710)
    parts = [(0.5, 1.0), (0.5, 4.0), (0.6, 18.0), (0.6, 80.0)]
    return np.asarray(sum(w * periodic_noise((1024, 1024), g, rng) for w, g in parts), np.float32)


def mottled(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    """Return fine and coarse noise, zero mean, about unit deviation.

    It is cut at a random place from one tile of 1024 x 1024, which repeats.
    """
    tile = _mottled_tile()
    offset = rng.integers(0, tile.shape)
    rows = np.arange(offset[0], offset[0] + shape[0]) % tile.shape[0]
    columns = np.arange(offset[1], offset[1] + shape[1]) % tile.shape[1]
    return tile[np.ix_(rows, columns)]


def ground(rng: np.random.Generator) -> Texture:
    """Paint the street from above: columns along x (64 m, tiles), rows from left to right."""
    rows = int(2 * GROUND_HALF_WIDTH_M / METRES_PER_TEXEL)
    columns = int(GROUND_LENGTH_M / METRES_PER_TEXEL)
    y = (GROUND_HALF_WIDTH_M - (np.arange(rows) + 0.5) * METRES_PER_TEXEL).astype(np.float32)
    x = ((np.arange(columns) + 0.5) * METRES_PER_TEXEL).astype(np.float32)
    noise = mottled((rows, columns), rng)
    value = 86 + 7 * noise
    tracks = sum(np.exp(-(((np.abs(y) - c) / 0.35) ** 2)) for c in (0.85, 2.35))
    # Wheels polish the asphalt, and oil darkens it between them.
    value -= (3.5 * tracks + 5 * np.exp(-(((np.abs(y) - 1.6) / 0.3) ** 2)))[:, None]
    dirt = np.clip(periodic_noise(noise.shape, 60, rng), 0, 2)
    value -= 10 * (np.abs(y) > LANE_M)[:, None] * dirt
    for _ in range(10):  # repaired trenches and covers
        x0, y0 = rng.uniform(0, GROUND_LENGTH_M - 6), rng.uniform(-4.5, 4.5)
        length, width = rng.uniform(0.6, 5.5), rng.uniform(0.5, 1.3)
        inside = ((x > x0) & (x < x0 + length))[None] & ((y > y0) & (y < y0 + width))[:, None]
        value[inside] += rng.uniform(-13, 8)
    image = value[..., None] * np.array([0.95, 0.99, 1.03], np.float32)

    def stripe(
        rows_in: npt.NDArray[np.bool_], columns_in: npt.NDArray[np.bool_], rgb: list[int]
    ) -> None:
        worn = 0.75 + 0.12 * np.clip(noise, -2, 2)
        paint = rows_in[:, None] & columns_in[None]
        share = np.where(paint, np.clip(worn, 0, 1), 0)[..., None]
        image[...] = image * (1 - share) + np.array(rgb, np.float32) * share

    everywhere = np.ones(columns, bool)
    stripe(np.abs(y) < 0.055, np.mod(x, 6.4) < 2.4, [196, 198, 198])
    for side in (-1, 1):
        for offset in (0.25, 0.47):
            stripe(np.abs(side * y - (KERB_M - offset)) < 0.035, everywhere, [124, 116, 84])

    pavement = np.abs(y) > KERB_M
    slabs = 92 + 6 * mottled((rows, columns), rng)
    joints = (np.mod(x, 0.9) < 0.03)[None] | (np.mod(y, 0.6) < 0.03)[:, None]
    slabs = slabs - 16 * joints
    tint = np.array([1.0, 0.985, 0.96], np.float32)
    image[pavement] = (slabs[..., None] * tint)[pavement]
    for side in (-1, 1):  # kerb stones and dirty gutters
        image[np.abs(side * y - (KERB_M + 0.08)) < 0.08] = [128, 126, 122]
        image[np.abs(side * y - (KERB_M - 0.08)) < 0.08] *= 0.62
    shade = 1 - 0.22 * np.clip((np.abs(y) - 4.2) / 3.0, 0, 1)  # houses hide part of the sky
    image *= shade[:, None, None]
    length = max(1, round(_MOTION_BLUR_M / METRES_PER_TEXEL))
    return np.asarray(cv2.blur(np.clip(image, 0, 255).astype(np.uint8), (length, 1)), np.uint8)


def sky(width: int, height: int, rng: np.random.Generator) -> Texture:
    """Paint a bright winter sky; the last row is the horizon."""
    up = np.linspace(1, 0, height, dtype=np.float32)[:, None, None]
    top, bottom = np.array([196, 217, 236.0]), np.array([241, 245, 246.0])
    image = bottom + (top - bottom) * up**0.8
    stretched = cv2.resize(mottled((height // 4, width // 8), rng), (width, height))
    clouds = np.clip(0.35 + 0.5 * stretched, 0, 1)[..., None]
    image = image * (1 - 0.75 * clouds) + np.array([243, 246, 248.0]) * 0.75 * clouds
    return np.asarray(np.clip(image, 0, 255), np.uint8)


def pyramid(texture: Texture, levels: int, *, slanted: bool = True) -> list[Texture]:
    """Return the texture and smaller copies of it, each half as wide as the one before.

    Rows halve as well; those of slanted surfaces, which shrink faster along the line of sight than
    across it, only every second time.
    """
    copies = [texture]
    for level in range(1, levels):
        rows, columns = copies[-1].shape[:2]
        size = (max(1, columns // 2), rows if slanted and level % 2 else max(1, rows // 2))
        copies.append(np.asarray(cv2.resize(copies[-1], size, interpolation=cv2.INTER_AREA)))
    return copies


def bare_tree(rng: np.random.Generator, size: int = 512) -> Texture:
    """Paint a leafless tree, (size, size) premultiplied RGBA, its foot in the last row."""
    alpha = np.zeros((size, size), np.uint8)

    def grow(x: float, y: float, angle: float, length: float, width: float) -> None:
        x1, y1 = x + length * np.sin(angle), y - length * np.cos(angle)
        ends = [(round(v[0] * 16), round(v[1] * 16)) for v in ((x, y), (x1, y1))]
        strength = int(min(255, 110 + 90 * width))
        cv2.line(alpha, ends[0], ends[1], strength, max(1, round(width)), cv2.LINE_AA, 4)
        if length < size / 42:
            return
        for _ in range(int(rng.integers(2, 4))):
            turn = angle + rng.normal(0, 0.42)
            grow(x1, y1, turn * 0.93, length * rng.uniform(0.66, 0.86), width * 0.66)

    grow(size / 2, size, rng.normal(0, 0.03), size * 0.175, size / 36)
    bark = np.clip(76 + 12 * mottled((size, size), rng), 20, 160)[..., None]
    colour = bark * np.array([1.0, 0.95, 0.9])
    return _premultiplied(colour, alpha)


def bush(rng: np.random.Generator, size: int = 256) -> Texture:
    """Paint an evergreen shrub, (size, size) premultiplied RGBA, in the lower part."""
    rows, columns = np.mgrid[:size, :size].astype(np.float32) / size
    bumps = 0.06 * mottled((size, size), rng)
    inside = ((columns - 0.5) / 0.46) ** 2 + ((rows - 1.0) / 0.86) ** 2 + bumps * 3 < 1
    light = 0.45 + 0.75 * (1 - rows) + 0.28 * mottled((size, size), rng)
    colour = np.clip(light, 0.1, 1.6)[..., None] * np.array([62, 72, 46])
    alpha = cv2.GaussianBlur(inside.astype(np.uint8) * 255, (3, 3), 0)
    return _premultiplied(np.clip(colour, 0, 255), alpha)


def _premultiplied(colour: npt.NDArray[np.floating], alpha: Texture) -> Texture:
    """Return colour times opacity, and opacity, which blend and shrink without fringes."""
    return np.dstack([(colour * (alpha[..., None] / 255)).astype(np.uint8), alpha])
