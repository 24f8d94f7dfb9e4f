"""Training batches: composed scenes, cropped, mirrored, and changed in colour and sharpness."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import IterableDataset, get_worker_info

from objectomaly_ros.detectors.exposure import expose

from . import sensor, weather
from .frames import VOID, Cutout, Frame, mix_frames
from .outliers import make_outlier
from .paste import IGNORE, Scene

Rng = np.random.Generator
Item = TypeVar("Item")
Batch = dict[str, torch.Tensor]
PARTS = ("real", "conditions", "large", "bonnet", "mix", "paint", "retouch", "ghost")
"""Parts of the samples that an ablation may leave out."""
SHARES = {"camvid": 0.45, "obstacle": 0.15, "india": 0.16, "abroad": 0.1, "labelled": 0.14}
"""How often a sample is drawn from each kind of frames."""


class Batches(IterableDataset[Batch]):
    """Endless batches of composed crops.

    Each has image (B, 3, h, w) uint8 (channels last in memory), label (B, h, w) uint8 class ids
    (255 ignore), outlier (B, h, w) uint8 (0, 1, 255 ignore), weight (B, h, w) float32.
    """

    def __init__(
        self,
        frames: dict[str, list[Frame]],
        outliers: list[Cutout],
        known: list[Cutout],
        *,
        batch: int,
        crop: tuple[int, int],
        seed: int,
        without: Collection[str] = (),
    ) -> None:
        self.frames, self.outliers = frames, outliers
        self.parts = frozenset(PARTS) - frozenset(without)
        self.kinds = [kind for kind in frames if frames[kind]]
        shares = np.array([SHARES[kind] for kind in self.kinds])
        self.shares = shares / shares.sum()
        # By class, so that cars do not crowd out riders, which are rare and look odd.
        classes = sorted({cutout.label for cutout in known if cutout.label is not None})
        self.known = [[k for k in known if k.label == class_id] for class_id in classes]
        self.batch, self.crop, self.seed = batch, crop, seed

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        cv2.setNumThreads(0)
        rng = np.random.default_rng([self.seed, info.id if info else 0])
        while True:
            parts = [self.sample(rng) for _ in range(self.batch)]
            image, label, outlier, weight = (
                torch.from_numpy(np.stack(x)) for x in zip(*parts, strict=True)
            )
            image = image.permute(0, 3, 1, 2)
            yield {"image": image, "label": label, "outlier": outlier, "weight": weight}

    def sample(self, rng: Rng) -> tuple[npt.NDArray[np.generic], ...]:
        """Compose one crop: image (h, w, 3), label, outlier, weight (h, w)."""
        kind = str(rng.choice(self.kinds, p=self.shares))
        frame = _draw(self.frames[kind], rng)
        if "mix" in self.parts and kind == "camvid" and rng.random() < 0.15:
            frame = mix_frames(frame, _draw(self.frames[kind], rng), rng)
        scene = Scene(frame, VOID)
        if "paint" in self.parts:
            for _ in range(rng.choice(4, p=[0.5, 0.25, 0.15, 0.1])):
                scene.paint(rng)
        if "retouch" in self.parts:
            for _ in range(rng.choice(3, p=[0.4, 0.35, 0.25])):
                scene.retouch_known(rng)
        if kind == "obstacle":  # the real ones stay the most of it
            kinds = ["outlier"] * int(rng.choice(3, p=[0.6, 0.25, 0.15]))
        else:
            kinds = ["outlier"] * int(rng.choice(6, p=[0.1, 0.15, 0.25, 0.2, 0.2, 0.1]))
        kinds += ["known"] * int(rng.choice(4, p=[0.2, 0.3, 0.3, 0.2]))
        kinds += ["shadow"] * int(rng.random() < 0.3)
        if "ghost" in self.parts:
            kinds += ["ghost"] * int(rng.choice(3, p=[0.5, 0.35, 0.15]))
        for kind in rng.permutation(kinds):
            if kind == "known":
                scene.paste(_draw(_draw(self.known, rng), rng), rng)
            else:
                outlier = make_outlier(self.outliers, self.frames["camvid"], rng)
                scene.paste(outlier, rng, "object" if kind == "outlier" else kind)
        if "large" in self.parts and rng.random() < 0.12:
            scene.paste(make_outlier(self.outliers, self.frames["camvid"], rng), rng, large=True)
        distance = weather.distances(frame.label, scene.near, scene.horizon)
        maps = [scene.image, scene.label, scene.outlier, scene.weight, distance]
        image, label, odd, weight, far = _crop(maps, self.crop, rng)
        if "bonnet" in self.parts and rng.random() < 0.15:
            bonnet(image, label, odd, rng)
        if "conditions" in self.parts and rng.random() < 0.75:
            view = weather.View(label, far, _horizon(far))
            image = self._condition(image, view, odd, rng)
        else:
            image = photometric(image, rng)
        return expose(image), label, odd, weight

    def _condition(
        self,
        image: npt.NDArray[np.generic],
        view: weather.View,
        odd: npt.NDArray[np.generic],
        rng: Rng,
    ) -> npt.NDArray[np.uint8]:
        """Change light, weather and camera; ignore the obstacles that no light falls on."""
        light, gain = sensor.to_linear(np.asarray(image, np.uint8)), 1.0
        changes = (weather.dusk, weather.low_sun, weather.fog, weather.snow, weather.rain)
        kind = rng.random()
        if kind < 0.3:
            if rng.random() < 0.3:
                light = (weather.snow if rng.random() < 0.5 else weather.rain)(light, view, rng)
            light, gain = weather.night(light, view, rng)
        elif kind < 0.55:
            light = changes[rng.choice(5, p=[0.2, 0.2, 0.15, 0.25, 0.2])](light, view, rng)
        if rng.random() < 0.1:
            other = _draw(self.frames["camvid"], rng).image
            light = weather.behind_glass(light, sensor.to_linear(other), rng)
        if kind > 0.35 and rng.random() < 0.8:
            light = sensor.expose(light, rng)
        dark = light.mean(axis=2) < 0.0012
        odd[(odd == 1) & dark] = IGNORE
        return sensor.develop(light, gain, rng)


def _draw(items: Sequence[Item], rng: Rng) -> Item:
    return items[int(rng.integers(len(items)))]


def _horizon(distance: npt.NDArray[np.generic]) -> float:
    """Return the row below which a crop shows the ground, as far as its distances tell."""
    near = np.nonzero(np.median(distance, axis=1) < 45)[0]
    return float(near[0]) - 12 if len(near) else 0.4 * distance.shape[0]


def bonnet(
    image: npt.NDArray[np.generic],
    label: npt.NDArray[np.generic],
    odd: npt.NDArray[np.generic],
    rng: Rng,
) -> None:
    """Draw the car's own bonnet or dashboard at the lower border, in place: it is normal."""
    height, width = label.shape
    xs = np.linspace(-1, 1, width)
    top = height * (1 - rng.uniform(0.05, 0.25)) + height * rng.uniform(-0.02, 0.12) * xs**2
    top += height * rng.normal(0, 0.03) * xs
    rows = np.arange(height)[:, None]
    mask = rows > top[None]
    colour = rng.uniform(0, 120) * np.exp(rng.normal(0, 0.15, 3))
    if rng.random() < 0.4:  # paint mirrors the sky
        colour = (
            colour + rng.uniform(0, 120) * np.exp(-(((rows - top[None]) / 12.0) ** 2))[..., None]
        )
    paint = np.broadcast_to(colour, image.shape) + rng.normal(0, 3, (height, width, 1))
    image[mask] = np.clip(paint, 0, 255).astype(np.uint8)[mask]
    label[mask], odd[mask] = IGNORE, 0


def _crop(
    maps: list[npt.NDArray[np.generic]], size: tuple[int, int], rng: Rng
) -> list[npt.NDArray[np.generic]]:
    """Cut a random window at 0.75 to 1.6 times the scale, and mirror half of them."""
    height, width = maps[0].shape[:2]
    scale = float(np.clip(np.exp(rng.normal(0.03, 0.2)), 0.75, 1.6))
    h, w = min(height, round(size[0] / scale)), min(width, round(size[1] / scale))
    y = round((height - h) * float(rng.beta(1.6, 1.0)))  # more ground than sky
    x = int(rng.integers(0, width - w + 1))
    mirror = rng.random() < 0.5
    out = []
    for index, values in enumerate(maps):
        part = values[y : y + h, x : x + w]
        if mirror:
            part = part[:, ::-1]
        smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        mode = smooth if index in (0, 4) else cv2.INTER_NEAREST
        out.append(cv2.resize(np.ascontiguousarray(part), size[::-1], interpolation=mode))
    return out


def photometric(image: npt.NDArray[np.generic], rng: Rng) -> npt.NDArray[np.uint8]:
    """Vary exposure, gamma, white balance, saturation, sharpness and noise of an RGB image."""
    x = np.asarray(image, np.uint8)
    if rng.random() < 0.08:  # flat, like drawn scenes
        x = cv2.medianBlur(x, 5)
    # One table a channel: gain, gamma and offset.
    ramp = np.linspace(0, 1, 256)
    gamma, gain = np.exp(rng.normal(0, 0.2)), np.exp(rng.normal(0, 0.15))
    offset = rng.normal(0, 0.04)
    tables = [
        np.clip((ramp**gamma * gain * np.exp(rng.normal(0, 0.06)) + offset) * 255, 0, 255)
        for _ in range(3)
    ]
    x = cv2.LUT(x, np.stack(tables, axis=-1).astype(np.uint8)[None])
    if rng.random() < 0.7:
        grey = cv2.cvtColor(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        keep = rng.uniform(0.3, 1.5) if rng.random() < 0.93 else 0.0
        x = cv2.addWeighted(x, keep, grey, 1 - keep, 0)
    if rng.random() < 0.15:
        hsv = cv2.cvtColor(x, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + int(rng.integers(-12, 13))) % 180
        x = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    kind = rng.random()
    if kind < 0.15:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.3, 1.2))
    elif kind < 0.3:
        x = cv2.addWeighted(x, 1.7, cv2.GaussianBlur(x, (0, 0), 1.2), -0.7, 0)
    if rng.random() < 0.3:
        noise = np.empty(x.shape, np.int16)
        sigma = rng.uniform(1, 8)
        cv2.setRNGSeed(int(rng.integers(2**31)))
        cv2.randn(noise, (0, 0, 0), (sigma, sigma, sigma))
        x = cv2.add(x, noise, dtype=cv2.CV_8U)
    if rng.random() < 0.1:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))]
        x = cv2.imdecode(cv2.imencode(".jpg", x, quality)[1], cv2.IMREAD_COLOR)
    return x
