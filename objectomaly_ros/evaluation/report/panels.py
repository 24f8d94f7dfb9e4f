"""The pictures of a frame: image, coarse score, refined score, mask, truth."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.evaluation.cache import ScoreCache
from objectomaly_ros.evaluation.datasets import Conventions
from objectomaly_ros.evaluation.frame_files import read_image, read_labels
from objectomaly_ros.evaluation.frames import ANOMALY, IGNORE
from objectomaly_ros.evaluation.stages import ScoredFrame, Stage, load_stage
from objectomaly_ros.obstacles.overlay import score_colormap
from objectomaly_ros.types import Image, Mask

PANELS = ("image", "coarse score", "refined score", "mask", "truth")
_WIDTH = 384
_FOUND, _FALSE, _MISSED = (0, 190, 120), (235, 90, 30), (70, 120, 255)


def frame_panels(
    cache: ScoreCache,
    scored: ScoredFrame,
    conventions: Conventions,
    stage: Stage,
    threshold: float,
    limits: tuple[tuple[float, float], tuple[float, float]],
) -> list[str]:
    """Return the five panels of a frame as data URIs (JPEG).

    In the mask, found pixels are green, false ones orange, missed ones blue.

    Args:
        cache: holds the scores.
        scored: the frame.
        conventions: of its dataset.
        stage: which score is the refined one.
        threshold: of the mask, `score > threshold`.
        limits: lowest and highest score of the colour scale, coarse and refined.
    """
    image = read_image(scored.frame.image)
    labels = read_labels(scored.frame.labels, conventions.label_values)
    coarse = load_stage(cache, scored, "coarse")
    refined = load_stage(cache, scored, stage)
    ignored, truth = labels == IGNORE, labels == ANOMALY
    predicted = (refined > threshold) & ~ignored
    dark: Image = (image // 3).astype(np.uint8)
    found, false, missed = predicted & truth, predicted & ~truth, truth & ~predicted
    mask = _painted(dark, (found, _FOUND), (false, _FALSE), (missed, _MISSED))
    ground = _painted(dark, (ignored, (90, 90, 90)), (truth, (255, 255, 255)))
    pictures = (
        image,
        score_colormap(coarse, limits[0]),
        score_colormap(refined, limits[1]),
        mask,
        ground,
    )
    return [_data_uri(picture) for picture in pictures]


def _painted(image: Image, *layers: tuple[Mask, tuple[int, int, int]]) -> Image:
    result = image.copy()
    for mask, colour in layers:
        result[mask] = colour
    return result


def _data_uri(picture: npt.NDArray[np.uint8]) -> str:
    height, width = picture.shape[:2]
    if width > _WIDTH:
        size = (_WIDTH, max(1, round(height * _WIDTH / width)))
        picture = np.asarray(
            cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8
        )
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82]
    )
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
