"""Training batches: composed scenes, cropped, mirrored, and changed in colour and sharpness."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import IterableDataset, get_worker_info

from .frames import VOID, Cutout, Frame, mix_frames
from .outliers import make_outlier
from .paste import Scene

Rng = np.random.Generator
Batch = dict[str, torch.Tensor]
PARTS = ("mix", "paint", "retouch", "ghost")
"""Parts of the samples that an ablation may leave out."""


class Batches(IterableDataset[Batch]):
    """Endless batches of composed crops.

    Each has image (B, 3, h, w) uint8 (channels last in memory), label (B, h, w) uint8 class ids
    (255 ignore), outlier (B, h, w) uint8 (0, 1, 255 ignore), weight (B, h, w) float32.
    """

    def __init__(
        self,
        frames: list[Frame],
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
        frame = self.frames[rng.integers(len(self.frames))]
        if "mix" in self.parts and rng.random() < 0.35:
            frame = mix_frames(frame, self.frames[rng.integers(len(self.frames))], rng)
        scene = Scene(frame, VOID)
        if "paint" in self.parts:
            for _ in range(rng.choice(4, p=[0.5, 0.25, 0.15, 0.1])):
                scene.paint(rng)
        if "retouch" in self.parts:
            for _ in range(rng.choice(3, p=[0.4, 0.35, 0.25])):
                scene.retouch_known(rng)
        kinds = ["outlier"] * int(rng.choice(6, p=[0.05, 0.1, 0.2, 0.25, 0.25, 0.15]))
        kinds += ["known"] * int(rng.choice(4, p=[0.2, 0.3, 0.3, 0.2]))
        kinds += ["shadow"] * int(rng.random() < 0.3)
        if "ghost" in self.parts:
            kinds += ["ghost"] * int(rng.choice(3, p=[0.5, 0.35, 0.15]))
        for kind in rng.permutation(kinds):
            if kind == "known":
                alike = self.known[rng.integers(len(self.known))]
                scene.paste(alike[rng.integers(len(alike))], rng)
            else:
                outlier = make_outlier(self.outliers, self.frames, rng)
                scene.paste(outlier, rng, "object" if kind == "outlier" else kind)
        crop = _crop([scene.image, scene.label, scene.outlier, scene.weight], self.crop, rng)
        crop[0] = photometric(crop[0], rng)
        return tuple(crop)


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
        mode = smooth if index == 0 else cv2.INTER_NEAREST
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
