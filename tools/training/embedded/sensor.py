"""What a camera does to the light it receives: exposure, colour, blur, noise, compression.

Images are (h, w, 3) float32 in linear light, 1 = white, unless said otherwise.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
Rng = np.random.Generator
GAMMA = 2.2
_LINEAR = (np.arange(256) / 255) ** GAMMA


def to_linear(image: U8) -> F32:
    """Return the linear light of an RGB uint8 image."""
    return np.asarray(_LINEAR.astype(np.float32)[image])


def to_image(light: F32) -> U8:
    """Return the RGB uint8 image of linear light, clipped at white."""
    codes = cv2.pow(np.clip(light, 0, 1), 1 / GAMMA) * 255
    return np.asarray(cv2.convertScaleAbs(codes), np.uint8)


def light_of(temperature: float) -> F32:
    """Return the colour (3,) of light: 0 daylight, towards 1 warm, towards -1 cold."""
    return np.exp(np.array([0.55, 0.0, -0.9]) * temperature).astype(np.float32)


def noise(light: F32, gain: float, rng: Rng) -> F32:
    """Add shot and read noise of a sensor whose signal is amplified by `gain` >= 1.

    Half of the cameras smooth the noise in colour, as demosaicing and denoising do.
    """
    grain = rng.standard_normal(light.shape, np.float32)
    if rng.random() < 0.5:
        grey = grain.mean(axis=2, keepdims=True)
        grain = grey + 1.8 * cv2.GaussianBlur(grain - grey, (0, 0), rng.uniform(0.6, 2.0))
    if rng.random() < 0.3:
        grain = 1.6 * cv2.GaussianBlur(grain, (0, 0), 0.7)
    spread = np.sqrt(np.maximum(light, 0) * (0.0004 * gain) + (0.0012 * gain) ** 2)
    return np.asarray(light + grain * spread, np.float32)


def blur(image: U8, rng: Rng) -> U8:
    """Blur an image: motion along a line, defocus, or a low resolution."""
    kind = rng.random()
    if kind < 0.5:
        length = int(rng.integers(3, 14))
        kernel = np.zeros((length, length), np.float32)
        # A moving car smears most along the rows, and outwards.
        turn = rng.normal(0, 0.35) if rng.random() < 0.7 else rng.uniform(0, np.pi)
        reach = (length - 1) / 2 * np.array([np.cos(turn), np.sin(turn)])
        first, last = (tuple(np.round((length - 1) / 2 + s * reach).astype(int)) for s in (-1, 1))
        cv2.line(kernel, [int(v) for v in first], [int(v) for v in last], 1.0)
        return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)
    if kind < 0.75:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.7, 2.5)), np.uint8)
    height, width = image.shape[:2]
    part = rng.uniform(0.3, 0.8)
    small = cv2.resize(image, None, fx=part, fy=part, interpolation=cv2.INTER_AREA)
    mode = cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(small, (width, height), interpolation=mode), np.uint8)


def expose(light: F32, rng: Rng) -> F32:
    """Vary exposure, white balance, vignetting and the veil of stray light."""
    light = light * np.exp2(rng.normal(0, 0.9) if rng.random() < 0.6 else rng.uniform(-3.5, 1.2))
    if rng.random() < 0.6:
        light = light * light_of(rng.normal(0, 0.45))
    if rng.random() < 0.3:
        light = light * np.exp(rng.normal(0, 0.15, 3)).astype(np.float32)
    if rng.random() < 0.25:
        height, width = light.shape[:2]
        ys, xs = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
        light = light * (1 - rng.uniform(0.1, 0.35) * (ys**2 + xs**2))[..., None]
    if rng.random() < 0.4:  # dirt or haze on the glass: less contrast
        veil = rng.uniform(0.05, 0.7)
        level = float(light.mean()) * rng.uniform(0.5, 2.0)
        light = light * (1 - veil) + veil * level * light_of(rng.normal(0, 0.2))
    return np.asarray(light, np.float32)


def develop(light: F32, gain: float, rng: Rng) -> U8:
    """Turn linear light into a picture: noise, blur, tone curve, colours, sharpening, JPEG."""
    if rng.random() < 0.6:
        light = noise(light, gain * np.exp(rng.uniform(0, 4.0)), rng)
    image = to_image(light)
    if rng.random() < 0.3:
        image = blur(image, rng)
    if rng.random() < 0.6:
        ramp = np.linspace(0, 1, 256)
        curve = ramp ** np.exp(rng.normal(0.1, 0.4))
        contrast = rng.normal(0, 0.25)
        curve = curve + contrast * (curve - 0.5) + rng.normal(0, 0.04)
        image = cv2.LUT(image, np.clip(curve * 255, 0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        keep = 0.0 if rng.random() < 0.2 else rng.uniform(0.2, 1.5)
        image = cv2.addWeighted(image, keep, grey, 1 - keep, 0)
    if rng.random() < 0.15:
        image = cv2.addWeighted(image, 1.7, cv2.GaussianBlur(image, (0, 0), 1.2), -0.7, 0)
    if rng.random() < 0.45:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(np.exp(rng.uniform(np.log(6), np.log(70))))]
        image = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    return np.asarray(image, np.uint8)
