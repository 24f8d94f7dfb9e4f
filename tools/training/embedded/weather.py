"""Light and weather of a street: night, dusk, low sun, fog, snow, rain, and the car's own glass.

Images are (h, w, 3) float32 in linear light, 1 = white. What lies how far away is known from the
labels, so that fog and headlights fall off with distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .frames import CAMERA_HEIGHT_M, PAVEMENT, ROAD, TREE
from .sensor import F32, Rng, light_of

SKY = 0
FAR_M = 300.0


@dataclass
class View:
    """What is seen in each pixel of a crop.

    Attributes:
        label: (h, w) uint8 class ids, 255 unknown.
        distance: (h, w) float32, metres, roughly.
        horizon: row of the horizon, may lie outside.
    """

    label: npt.NDArray[np.uint8]
    distance: F32
    horizon: float

    @property
    def ground(self) -> npt.NDArray[np.bool_]:
        """Road and pavement."""
        return np.asarray((self.label == ROAD) | (self.label == PAVEMENT))


def distances(label: npt.NDArray[np.uint8], near: npt.NDArray[np.int16], horizon: float) -> F32:
    """Return the distance of each pixel of a frame: by its row on the ground, by its foot above."""
    height, width = label.shape
    below = np.maximum(np.arange(height) - horizon, 0.5)
    by_row = np.minimum(CAMERA_HEIGHT_M * width / below, FAR_M).astype(np.float32)
    # What is neither ground nor a thing (houses, trees) stands behind the road.
    rows = np.where(near >= 0, near, np.arange(height, dtype=np.int16)[:, None])
    found = by_row[np.clip(rows, 0, height - 1)]
    tall = (near < 0) & (np.arange(height)[:, None] < horizon)
    found[tall] = 60.0
    found[label == SKY] = FAR_M * 3
    return np.asarray(found, np.float32)


def _grid(shape: tuple[int, ...]) -> tuple[F32, F32]:
    ys, xs = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return ys, xs


def _field(shape: tuple[int, ...], cells: int, rng: Rng) -> F32:
    """Return smooth noise, standard deviation about 1, with that many cells along a side."""
    small = rng.standard_normal((cells, cells), np.float32)
    return np.asarray(cv2.resize(small, shape[1::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def _glow(light: F32, x: float, y: float, size: float, colour: F32, power: float) -> None:
    """Add a lamp seen directly: a bright core and the halo of the lens, in place."""
    height, width = light.shape[:2]
    for radius, part in ((size, 1.0), (size * 5, 0.06)):
        reach = int(3 * radius) + 1
        y0, y1 = max(0, int(y) - reach), min(height, int(y) + reach + 1)
        x0, x1 = max(0, int(x) - reach), min(width, int(x) + reach + 1)
        if y0 >= y1 or x0 >= x1:
            continue
        ys = (np.arange(y0, y1, dtype=np.float32) - y)[:, None]
        xs = (np.arange(x0, x1, dtype=np.float32) - x)[None]
        spot = np.exp(-(ys**2 + xs**2) / (2 * radius**2)) * (part * power)
        light[y0:y1, x0:x1] += spot[..., None] * colour


def night(light: F32, view: View, rng: Rng) -> tuple[F32, float]:
    """Light the street by headlights, lamps and a faint sky; return it and the sensor's gain."""
    height, width = light.shape[:2]
    ys, xs = _grid(light.shape)
    lit = light * (10 ** rng.uniform(-2.6, -1.3)) * light_of(rng.normal(-0.2, 0.4))
    lit[view.label == SKY] *= rng.uniform(0.02, 0.6)
    if rng.random() < 0.8:  # the car's own low beam: cut off at the horizon, r^-2
        middle = width * rng.normal(0.5, 0.12)
        spread = width * rng.uniform(0.15, 0.5)
        reach = rng.uniform(8, 30)
        beam = 1 / (0.15 + (view.distance / reach) ** 2)
        beam *= np.exp(-(((xs - middle) / spread) ** 2) / 2)
        beam *= 0.5 + 0.5 * np.tanh((ys - view.horizon) / rng.uniform(4, 24))
        beam = np.minimum(beam, 4) * rng.uniform(0.05, 0.5)
        lit += light * beam[..., None] * light_of(rng.normal(0.15, 0.35))
    sodium = rng.random() < 0.5
    for _ in range(int(rng.integers(0, 8))):  # street lamps, each with its pool of light
        colour = light_of(rng.normal(0.9, 0.2) if sodium else rng.normal(0, 0.3))
        x, y = rng.uniform(0, width), view.horizon - rng.uniform(-2, 0.5) * height * 0.4
        pool_y = view.horizon + rng.exponential(0.25) * height
        wide = width * rng.uniform(0.05, 0.3)
        pool = np.exp(-(((xs - x) / wide) ** 2 + ((ys - pool_y) / (wide * 0.5)) ** 2) / 2)
        lit += light * (pool * rng.uniform(0.03, 0.4))[..., None] * colour
        if rng.random() < 0.7:
            _glow(lit, x, min(y, view.horizon), rng.uniform(0.8, 5), colour, rng.uniform(0.3, 3))
    for _ in range(int(rng.integers(0, 4))):  # other cars' lamps, in pairs
        colour = light_of(0.2) if rng.random() < 0.6 else np.array([1, 0.05, 0.02], np.float32)
        x, size = rng.uniform(0, width), rng.uniform(0.7, 4)
        y = view.horizon + rng.exponential(0.06) * height
        for side in (-1, 1):
            power = rng.uniform(0.3, 3)
            _glow(lit, x + side * size * 4, y, size, np.asarray(colour, np.float32), power)
    # Auto exposure amplifies, but only so far.
    wanted = rng.uniform(0.01, 0.15)
    gain = float(np.clip(wanted / max(float(lit.mean()), 1e-5), 0.5, np.exp(rng.uniform(0, 3.0))))
    return np.asarray(lit * gain, np.float32), 2.0 * max(1.0, gain)


def dusk(light: F32, view: View, rng: Rng) -> F32:
    """Dim the street under a sky that stays light."""
    dim = rng.uniform(0.08, 0.5)
    lit = light * dim * light_of(rng.normal(-0.3, 0.4))
    sky = view.label == SKY
    lit[sky] = light[sky] * rng.uniform(dim, 1.0) * light_of(rng.normal(0.1, 0.5))
    return lit


def low_sun(light: F32, view: View, rng: Rng) -> F32:
    """Add a sun near the horizon: a bright spot, a veil, and long contrasts."""
    height, width = light.shape[:2]
    lit = light * rng.uniform(0.4, 1.1)
    warm = light_of(rng.uniform(0.0, 0.8))
    x, y = rng.uniform(-0.1, 1.1) * width, view.horizon - rng.uniform(-0.05, 0.4) * height
    _glow(lit, x, y, rng.uniform(4, 25), warm, rng.uniform(0.5, 3))
    ys, xs = _grid(light.shape)
    wide = width * rng.uniform(0.2, 0.8)
    veil = np.exp(-(((xs - x) / wide) ** 2 + ((ys - y) / wide) ** 2) / 2) * rng.uniform(0.05, 0.5)
    return np.asarray(lit + (veil[..., None] + rng.uniform(0, 0.1)) * warm, np.float32)


def fog(light: F32, view: View, rng: Rng) -> F32:
    """Scatter light between the camera and each pixel (Koschmieder's law)."""
    seen = np.exp(-view.distance / np.exp(rng.uniform(np.log(12), np.log(200))))[..., None]
    air = rng.uniform(0.15, 0.9) * light_of(rng.normal(-0.05, 0.15))
    return np.asarray(light * seen + air * (1 - seen), np.float32)


def snow(light: F32, view: View, rng: Rng) -> F32:
    """Cover the ground and trees, leave wheel tracks, and let flakes fall."""
    height, width = light.shape[:2]
    ys, xs = _grid(light.shape)
    cover = _field(light.shape, 6, rng) * 0.6 + _field(light.shape, 40, rng) * 0.5
    cover += _field(light.shape, 120, rng) * 0.25
    below = np.maximum(ys - view.horizon, 1)
    across = (xs - width * rng.normal(0.5, 0.15)) / below  # constant along the driving direction
    for track in (-0.9, 0.9):
        shift = track + rng.normal(0, 0.2)
        cover -= rng.uniform(0, 2.5) * np.exp(-(((across - shift) / rng.uniform(0.15, 0.5)) ** 2))
    amount = np.zeros((height, width), np.float32)
    amount[view.label == PAVEMENT] = rng.uniform(0, 3)
    amount[view.label == ROAD] = rng.uniform(-2, 2)
    amount[view.label == TREE] = rng.uniform(-3, 0.5)
    amount[view.label == 255] = rng.uniform(-2, 1)
    share = 1 / (1 + np.exp(-3 * (cover + amount)))
    share *= np.isin(view.label, (PAVEMENT, ROAD, TREE, 255))
    share = cv2.GaussianBlur(share, (0, 0), 0.8)[..., None]
    grey = light.mean(axis=2, keepdims=True)
    lumps = 1 + 0.12 * _field(light.shape, 60, rng)[..., None]
    white = (rng.uniform(0.35, 0.9) + 0.4 * (grey - grey.mean())) * lumps
    white = white * light_of(rng.normal(-0.1, 0.12))
    light = light * (1 - share) + white * share
    if rng.random() < 0.5:
        light = flakes(fog(light, view, rng), rng)
    return np.asarray(light, np.float32)


def flakes(light: F32, rng: Rng) -> F32:
    """Add falling snow or streaks of rain in front of the camera."""
    height, width = light.shape[:2]
    layer = np.zeros((height, width), np.float32)
    slant = rng.normal(0, 0.4)
    length = rng.choice([1.0, 4.0, 14.0])
    for _ in range(int(rng.integers(30, 400))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        long = length * rng.uniform(0.3, 1)
        end = (int(x + slant * long), int(y + long))
        wide = 1 + int(rng.random() < 0.15) * int(rng.integers(1, 3))
        cv2.line(layer, (int(x), int(y)), end, float(rng.uniform(0.2, 1)), wide)
    layer = cv2.GaussianBlur(layer, (0, 0), rng.uniform(0.6, 1.5))[..., None]
    layer = np.minimum(layer * rng.uniform(0.2, 0.9), 0.9)
    return np.asarray(light * (1 - layer) + layer * rng.uniform(0.3, 0.9), np.float32)


def rain(light: F32, view: View, rng: Rng) -> F32:
    """Wet the road, which darkens and mirrors, and put drops on the lens."""
    height, width = light.shape[:2]
    mirror = np.clip(2 * view.horizon - np.arange(height), 0, height - 1).astype(np.float32)
    ys = np.repeat(mirror[:, None], width, axis=1)
    xs = np.repeat(np.arange(width, dtype=np.float32)[None], height, axis=0)
    xs = xs + _field(light.shape, 30, rng) * 2
    seen = cv2.remap(light, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    seen = cv2.GaussianBlur(seen, (0, 0), sigmaX=rng.uniform(0.8, 3), sigmaY=rng.uniform(2, 12))
    puddles = 1 / (1 + np.exp(-4 * (_field(light.shape, 7, rng) + rng.normal(0, 1))))
    wet = (view.ground * puddles * rng.uniform(0.2, 0.8))[..., None]
    wet = cv2.GaussianBlur(wet, (0, 0), 1.5)[..., None]
    light = light * (1 - 0.5 * wet) * (1 - 0.5 * wet) + seen * wet * rng.uniform(0.3, 1.0)
    if rng.random() < 0.4:
        light = flakes(light, rng)
    if rng.random() < 0.5:
        light = _drops(np.asarray(light, np.float32), rng)
    return np.asarray(light, np.float32)


def _drops(light: F32, rng: Rng) -> F32:
    """Put drops on the lens: each shows the street small, upside down and unsharp."""
    height, width = light.shape[:2]
    soft = cv2.GaussianBlur(light, (0, 0), 4)
    share = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(2, 25))):
        center = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        axes = (int(rng.integers(2, 14)), int(rng.integers(2, 16)))
        cv2.ellipse(share, center, axes, 0, 0, 360, float(rng.uniform(0.4, 1)), -1)
    share = cv2.GaussianBlur(share, (0, 0), rng.uniform(0.7, 2.5))[..., None]
    return np.asarray(light * (1 - share) + soft[::-1] * share * rng.uniform(0.7, 1.2), np.float32)


def behind_glass(light: F32, other: F32, rng: Rng) -> F32:
    """Mirror something faint in the windscreen."""
    height, width = light.shape[:2]
    seen = cv2.resize(other, (width, height), interpolation=cv2.INTER_AREA)
    seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(2, 8))[::-1]
    ramp = np.linspace(rng.uniform(0, 1), rng.uniform(0, 1), height, dtype=np.float32)
    return np.asarray(light + seen * (ramp * rng.uniform(0.02, 0.2))[:, None, None], np.float32)
