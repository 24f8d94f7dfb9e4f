"""Paints fronts of houses: walls, windows, doors, shops. RGB uint8, 40 texels a metre."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from objectomaly_ros.demo.drive.textures import METRES_PER_TEXEL, Field, Texture, mottled

Rgb: TypeAlias = tuple[int, ...]
Rng: TypeAlias = np.random.Generator

_WALLS = {
    "red brick": (128, 84, 66),
    "buff brick": (158, 140, 108),
    "grey brick": (112, 104, 96),
    "plaster": (186, 183, 174),
    "stone": (148, 138, 120),
}
_SHOP_SIGNS = (
    (36, 44, 70), (92, 30, 34), (30, 60, 46), (40, 40, 42), (150, 148, 140), (60, 44, 34),
)  # fmt: skip


@dataclass(frozen=True)
class FacadeStyle:
    """The style of a front; sizes in metres.

    Attributes:
        wall: a key of the wall colours.
        storeys: number of storeys.
        storey: height of each.
        bay: distance from window to window.
        shop: whether the ground floor is a shop.
        light: that falls on it, 1 in the open.
    """

    wall: str
    storeys: int
    storey: float
    bay: float
    shop: bool
    light: float


def random_style(light: float, rng: Rng) -> FacadeStyle:
    """Choose a style of a town centre."""
    return FacadeStyle(
        wall=str(rng.choice(list(_WALLS), p=[0.3, 0.25, 0.15, 0.18, 0.12])),
        storeys=int(rng.choice([2, 3, 4], p=[0.35, 0.5, 0.15])),
        storey=float(rng.uniform(2.7, 3.3)),
        bay=float(rng.uniform(1.9, 3.0)),
        shop=bool(rng.random() < 0.45),
        light=light,
    )


def facade(width_m: float, style: FacadeStyle, rng: Rng) -> Texture:
    """Paint a front; its last row is at the pavement."""
    rows = _texels(style.storeys * style.storey)
    columns = _texels(width_m)
    image = _wall(rows, columns, style.wall, rng)
    frame = (214, 213, 208) if rng.random() < 0.75 else (74, 66, 60)
    bays = max(1, int(width_m / style.bay))
    pitch = width_m / bays
    window = (min(1.15, 0.5 * pitch), 0.56 * style.storey)
    for storey in range(style.storeys):
        floor = style.storey * storey
        if storey == 0 and style.shop:
            _shop(image, width_m, style.storey, rng)
            continue
        door = int(rng.integers(bays)) if storey == 0 else -1
        for bay in range(bays):
            middle = (bay + 0.5) * pitch
            if bay == door:
                _door(image, middle, rng)
            else:
                _window(image, middle, floor + 0.28 * style.storey, window, frame, rng)
    _band(image, style.storeys * style.storey - 0.12, 0.24, (150, 146, 138))
    if style.storeys > 2:
        _band(image, style.storey, 0.14, (140, 135, 126))
    soot = 1 + 0.05 * np.clip(mottled((rows, columns), rng), -2, 2)
    height = np.linspace(1, 0, rows, dtype=np.float32)[:, None]
    shade = style.light * soot * (0.72 + 0.28 * np.clip(height * 2.2, 0, 1))
    return np.asarray(np.clip(image * shade[..., None], 0, 255), np.uint8)


def slates(width_m: float, light: float, rng: Rng) -> Texture:
    """Paint a roof, 4 m from eaves (last row) to ridge."""
    rows, columns = _texels(4.0), _texels(width_m)
    value = 74 + 7 * mottled((rows, columns), rng)
    value[np.mod(np.arange(rows), 10) == 0] -= 20
    tint = np.array([1.0, 0.98, 1.0]) if rng.random() < 0.6 else np.array([1.25, 0.95, 0.8])
    return np.asarray(np.clip(value[..., None] * tint * light, 0, 255), np.uint8)


def _wall(rows: int, columns: int, kind: str, rng: Rng) -> Field:
    base = np.array(_WALLS[kind], np.float32) * rng.uniform(0.82, 1.1)
    value = np.ones((rows, columns), np.float32) + 0.045 * mottled((rows, columns), rng)
    if "brick" in kind or kind == "stone":
        course, brick = (3, 9) if "brick" in kind else (14, 26)
        layer = np.arange(rows) // course
        stone = (np.arange(columns)[None] + (layer[:, None] % 2) * (brick // 2)) // brick
        spread = 0.09 if "brick" in kind else 0.05
        tones = rng.normal(1.0, spread, size=(layer[-1] + 1, stone.max() + 1))
        value = value * tones[layer[:, None], stone].astype(np.float32)
        value[np.mod(np.arange(rows), course) == 0] *= 0.9
    return np.asarray(value[..., None] * base, np.float32)


def _window(
    image: Field, middle: float, sill: float, size: tuple[float, float], frame: Rgb, rng: Rng
) -> None:
    width, height = size
    _rectangle(image, middle - width / 2 - 0.08, sill - 0.1, width + 0.16, 0.1, (170, 166, 158))
    _rectangle(image, middle - width / 2, sill, width, height, frame)
    _glass(image, middle - width / 2 + 0.07, sill + 0.07, width - 0.14, height - 0.14, rng)
    _rectangle(image, middle - width / 2, sill + height / 2 - 0.025, width, 0.05, frame)
    _rectangle(image, middle - 0.025, sill, 0.05, height, frame)
    _rectangle(image, middle - width / 2 - 0.1, sill + height, width + 0.2, 0.16, (126, 118, 108))
    _rectangle(image, middle - width / 2, sill + height - 0.1, width, 0.1, (40, 38, 38), 0.5)


def _door(image: Field, middle: float, rng: Rng) -> None:
    colour = ((44, 52, 66), (84, 30, 30), (38, 56, 44), (58, 46, 38))[int(rng.integers(4))]
    _rectangle(image, middle - 0.62, 0, 1.24, 2.3, (196, 194, 188))
    _rectangle(image, middle - 0.5, 0.05, 1.0, 2.1, colour)
    _glass(image, middle - 0.36, 1.3, 0.72, 0.6, rng)


def _shop(image: Field, width: float, storey: float, rng: Rng) -> None:
    sign = _SHOP_SIGNS[int(rng.integers(len(_SHOP_SIGNS)))]
    _rectangle(image, 0.15, 0, width - 0.3, storey - 0.05, tuple(int(0.8 * c) for c in sign))
    _rectangle(image, 0.15, storey - 0.65, width - 0.3, 0.55, sign)
    letter = 0.25 * width
    while letter < 0.75 * width:  # a name that cannot be read
        step = rng.uniform(0.14, 0.26)
        _rectangle(image, letter, storey - 0.5, step * 0.7, 0.25, (206, 202, 190), 0.8)
        letter += step
    panes = max(2, round(width / 1.8))
    pitch = (width - 0.5) / panes
    for pane in range(panes):
        _glass(image, 0.25 + pane * pitch + 0.06, 0.45, pitch - 0.12, storey - 1.25, rng)
        for _ in range(3):
            x = 0.25 + pane * pitch + rng.uniform(0.1, max(0.11, pitch - 0.6))
            rgb = rng.uniform(60, 170, 3)
            shown = (int(rgb[0]), int(rgb[1]), int(rgb[2]))
            _rectangle(image, x, 0.5, rng.uniform(0.2, 0.5), rng.uniform(0.3, 1.0), shown, 0.35)


def _glass(image: Field, x: float, y: float, width: float, height: float, rng: Rng) -> None:
    area = _area(image, x, y, width, height)
    if area.size == 0:
        return
    rows = np.linspace(1, 0, area.shape[0], dtype=np.float32)[:, None]
    sheen = rng.uniform(24, 46) + rng.uniform(10, 70) * rows**2
    cool = np.array([0.92, 1.0, 1.08], np.float32)
    area[...] = sheen[..., None] * cool
    if rng.random() < 0.5:  # a curtain or blind behind
        share = int(area.shape[0] * rng.uniform(0.2, 0.6))
        area[:share] = area[:share] * 0.5 + rng.uniform(50, 95)


def _band(image: Field, y: float, height: float, rgb: Rgb) -> None:
    _rectangle(image, 0, y, image.shape[1] * METRES_PER_TEXEL, height, rgb)


def _rectangle(
    image: Field, x: float, y: float, width: float, height: float, rgb: Rgb, opacity: float = 1.0
) -> None:
    area = _area(image, x, y, width, height)
    area[...] = area * (1 - opacity) + np.array(rgb, np.float32) * opacity


def _area(image: Field, x: float, y: float, width: float, height: float) -> Field:
    """View the texels of a rectangle, given in metres from the lower left corner."""
    rows = image.shape[0]
    top, bottom = rows - _texels(y + height), rows - _texels(y)
    columns = slice(max(0, _texels(x)), max(0, _texels(x + width)))
    return image[max(0, top) : max(0, bottom), columns]


def _texels(metres: float) -> int:
    return round(metres / METRES_PER_TEXEL)
