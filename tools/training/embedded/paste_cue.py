"""A test whether a network detects the paste instead of the object: known objects, pasted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

from .evaluate import ScoreFunction
from .frames import BICYCLIST, CAR, PEDESTRIAN, VOID, cut_known, load_frames
from .paste import Scene


def paste_cue(
    score: ScoreFunction, split: Path, threshold: float, *, every: int = 2, seed: int = 0
) -> dict[str, float]:
    """Return the share of the pixels of known objects above `threshold`, pasted and in place.

    The objects (cars, pedestrians, bicyclists) are cut out of the frames of `split` and pasted into
    other frames of it like the outliers of the training.
    """
    frames = load_frames(split, set())[::every]
    known = cut_known(frames)
    rng = np.random.default_rng(seed)
    pixels, alarms = np.zeros(2), np.zeros(2)
    for frame in tqdm(frames, desc="paste cue", unit="frame"):
        things = np.isin(frame.label, (CAR, PEDESTRIAN, BICYCLIST))
        pixels[0] += things.sum()
        alarms[0] += (score(frame.image)[things] > threshold).sum()
        scene = Scene(frame, VOID)
        for _ in range(3):
            scene.paste(known[rng.integers(len(known))], rng)
        pasted = scene.pasted
        pixels[1] += pasted.sum()
        alarms[1] += (score(scene.image)[pasted] > threshold).sum()
    share = alarms / np.maximum(1, pixels)
    return {"known_in_place": float(share[0]), "known_pasted": float(share[1])}
