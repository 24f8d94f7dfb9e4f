"""Pasting an object into a street: scale, light, blur, grain, shadow, occlusion."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from .frames import CAMERA_HEIGHT_M, PAVEMENT, ROAD, STANDING, Cutout, Frame
from .markings import paint_ground

U8 = npt.NDArray[np.uint8]
Rng = np.random.Generator
Show = Literal["object", "shadow", "ghost"]
IGNORE = 255
MIN_HEIGHT, MAX_HEIGHT = 9, 150
ANYWHERE = 0.03  # share of the objects that do not stand on the ground


class Scene:
    """A frame under composition.

    Attributes:
        image: (H, W, 3) uint8; label: (H, W) uint8 class ids, 255 ignore;
        outlier: (H, W) uint8, 0 normal, 1 outlier, 255 ignore.
        weight: (H, W) float32, weight in the outlier loss, higher for small objects.
        pasted: (H, W) bool, visible pasted objects.
    """

    def __init__(self, frame: Frame, ignore_class: int) -> None:
        self.image: U8 = frame.image.copy()
        self.label: U8 = np.where(frame.label >= ignore_class, IGNORE, frame.label).astype(np.uint8)
        self.outlier: U8 = np.where(self.label == IGNORE, IGNORE, 0).astype(np.uint8)
        self.weight = np.ones(self.label.shape, np.float32)
        if frame.odd is not None:
            self.outlier[frame.odd == 1] = 1
            self.outlier[frame.odd == IGNORE] = IGNORE
            self.weight[frame.odd == 1] = 1.5
        self.pasted = np.zeros(self.label.shape, np.bool_)
        self.near = frame.near.copy()
        self.horizon = frame.horizon
        self.ground = np.argwhere(((frame.label == ROAD) | (frame.label == PAVEMENT))[::2, ::2]) * 2

    def paste(
        self, cutout: Cutout, rng: Rng, show: Show = "object", *, large: bool = False
    ) -> bool:
        """Paste one object on the ground; return False if there is no place for it.

        A large one stands close to the camera: it fills up to a third of the frame, and may be cut
        off by the frame's border.

        A "shadow" is the object's shadow alone. A "ghost" changes light, sharpness and grain of the
        image in the object's outline, as a paste does. Neither is an anomaly: they teach the
        network to ignore traces of pasting.
        """
        place = self._place_close(rng) if large else self._place(cutout, rng)
        if place is None:
            return False
        base_x, base_y, height = place
        h = round(height)
        w = max(4, round(cutout.rgb.shape[1] * height / cutout.rgb.shape[0]))
        grown = h / cutout.rgb.shape[0]
        # An enlarged far object does not look like a near one.
        if w > (420 if large else 260) or grown > (2.5 if large else 1.4):
            return False
        mode = cv2.INTER_AREA if grown < 1 else cv2.INTER_LINEAR
        rgb = cv2.resize(cutout.rgb, (w, h), interpolation=mode)
        alpha = cv2.resize(cutout.alpha, (w, h), interpolation=mode)
        if rng.random() < 0.9:
            self._shadow(base_x, base_y, w, h, rng)
        if show == "shadow":
            return True
        x0, y0 = base_x - w // 2, base_y - h + 1
        left, top = max(0, -x0), max(0, -y0)
        right = min(w, self.image.shape[1] - x0)
        bottom = min(h, self.image.shape[0] - y0)
        if right - left < 4 or bottom - top < 4:
            return False
        rgb, alpha = rgb[top:bottom, left:right], alpha[top:bottom, left:right]
        area = np.s_[y0 + top : y0 + bottom, x0 + left : x0 + right]
        visible = self.near[area] <= base_y
        alpha = alpha * cv2.GaussianBlur(visible.astype(np.float32), (3, 3), 0.6)
        if show == "ghost":
            self._retouch(area, alpha, rng)
            return True
        lit = self._relight(rgb, alpha, base_x, base_y, rng)
        self.image[area] = _blend(self.image[area], lit, alpha)
        self._mark(area, alpha, cutout.label, base_y)
        return True

    def retouch_known(self, rng: Rng) -> None:
        """Give a car, person, pole or sign of the frame the traces of a paste."""
        rows, columns = np.nonzero(STANDING[np.minimum(self.label[::4, ::4], len(STANDING) - 1)])
        if len(rows) == 0:
            return
        pick = rng.integers(len(rows))
        y, x, half = 4 * rows[pick], 4 * columns[pick], int(rng.integers(12, 70))
        area = np.s_[max(0, y - half) : y + half, max(0, x - half) : x + half]
        inside = self.label[area] == self.label[y, x]
        self._retouch(area, cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 0.7), rng)

    def paint(self, rng: Rng) -> None:
        """Paint a marking on the ground."""
        ground = (self.label == ROAD) | (self.label == PAVEMENT)
        if ground[::4, ::4].sum() > 20:
            alpha = paint_ground(self.image, ground, self.horizon + rng.normal(0, 5), rng)
            self.weight[alpha > 0.2] = 2.0

    def _retouch(self, area: tuple[slice, slice], alpha: npt.NDArray[np.float32], rng: Rng) -> None:
        over = self.image[area] * np.exp(rng.normal(0, 0.15))
        self.image[area] = _blend(self.image[area], _photographed(over, rng), alpha)
        kept = self.weight[area]
        self.weight[area] = np.where(alpha > 0.5, np.maximum(kept, 1.5), kept)

    def _place(self, cutout: Cutout, rng: Rng) -> tuple[int, int, float] | None:
        if len(self.ground) < 50:
            return None
        horizon = self.horizon + rng.normal(0, 5)
        if rng.random() < ANYWHERE:  # an object off the ground is an anomaly too
            base_y = int(rng.integers(60, self.image.shape[0]))
            base_x = int(rng.integers(0, self.image.shape[1]))
            return base_x, base_y, float(np.exp(rng.uniform(np.log(12), np.log(100))))
        # Draw rows evenly, although far ground covers few: far and small objects are common.
        for _ in range(6):
            row = rng.integers(self.ground[0, 0], self.ground[-1, 0] + 1) // 2 * 2
            first, last = np.searchsorted(self.ground[:, 0], [row, row + 1])
            if last > first:
                base_y, base_x = self.ground[rng.integers(first, last)]
                height = cutout.height_m * (base_y - horizon) / CAMERA_HEIGHT_M
                if MIN_HEIGHT <= height <= MAX_HEIGHT:
                    return int(base_x), int(base_y), float(height)
        return None

    def _place_close(self, rng: Rng) -> tuple[int, int, float]:
        height, width = self.image.shape[:2]
        base_y = int(height * rng.uniform(0.7, 1.2))
        return int(rng.integers(0, width)), base_y, height * float(rng.uniform(0.3, 0.85))

    def _shadow(self, x: int, y: int, w: int, h: int, rng: Rng) -> None:
        half_w, half_h = int(w * rng.uniform(0.4, 0.75)) + 1, int(h * rng.uniform(0.03, 0.12)) + 1
        soft = max(0.8, half_h * 0.7)
        pad = int(2 * soft) + 1
        x += int(rng.normal(0, 0.1 * w))
        y0, y1 = max(0, y - half_h - pad), min(self.image.shape[0], y + half_h + pad)
        x0, x1 = max(0, x - half_w - pad), min(self.image.shape[1], x + half_w + pad)
        if y1 - y0 < 2 or x1 - x0 < 2:
            return
        dark = np.zeros((y1 - y0, x1 - x0), np.float32)
        cv2.ellipse(dark, (x - x0, y - y0), (half_w, half_h), 0, 0, 360, 1.0, -1)
        dark = cv2.GaussianBlur(dark, (0, 0), soft) * rng.uniform(0.2, 0.7)
        dark *= self.near[y0:y1, x0:x1] <= y
        part = self.image[y0:y1, x0:x1]
        self.image[y0:y1, x0:x1] = (part * (1 - dark[..., None])).astype(np.uint8)

    def _relight(
        self, rgb: U8, alpha: npt.NDArray[np.float32], x: int, y: int, rng: Rng
    ) -> npt.NDArray[np.float32]:
        """Give the object the light of the ground at its foot, blur and grain."""
        ground = self.image[max(0, y - 6) : y + 10, max(0, x - 30) : x + 30]
        level = float(ground.mean()) / 255 if ground.size else 0.4
        linear = (rgb.astype(np.float32) / 255) ** 2.2
        inside = alpha > 0.5
        mean = float(linear[inside].mean()) if inside.any() else 0.2
        target = level**2.2 * np.exp(rng.normal(0, 0.45))
        strength = rng.uniform(0.3, 1.0)  # a white swan stays lighter than a black bear
        linear *= (target / max(mean, 0.01)) ** strength
        grey = linear.mean(axis=2, keepdims=True)
        linear = grey + (linear - grey) * rng.uniform(0.35, 1.1)
        lit = np.clip(linear, 0, 1) ** (1 / 2.2) * 255
        return _photographed(lit, rng)

    def _mark(
        self,
        area: tuple[slice, slice],
        alpha: npt.NDArray[np.float32],
        label: int | None,
        base_y: int,
    ) -> None:
        solid, border = alpha > 0.5, (alpha > 0.08) & (alpha <= 0.5)
        pixels = int(solid.sum())
        self.label[area][solid] = IGNORE if label is None else label
        self.label[area][border] = IGNORE
        self.outlier[area][solid] = 1 if label is None else 0
        self.outlier[area][border] = IGNORE
        self.near[area][solid] = base_y
        self.pasted[area][solid] = True
        if pixels:
            size = (1000 / pixels) ** 0.5 if label is None else 1.5
            self.weight[area][solid] = np.clip(size, 0.6, 3.0)


def _photographed(lit: npt.NDArray[np.floating], rng: Rng) -> npt.NDArray[np.float32]:
    """Give pasted pixels the sharpness and grain of a camera."""
    if rng.random() < 0.7:
        lit = cv2.GaussianBlur(lit, (0, 0), rng.uniform(0.3, 0.9))
    grain = rng.normal(0, rng.uniform(0.5, 4), (*lit.shape[:2], 1))
    return np.asarray(lit + grain, np.float32)


def _blend(under: U8, over: npt.NDArray[np.float32], alpha: npt.NDArray[np.float32]) -> U8:
    mixed = under + (over - under) * alpha[..., None]
    return np.clip(mixed, 0, 255).astype(np.uint8)
