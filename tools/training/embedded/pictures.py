"""Contact sheets: image, score and truth of a detector's best and worst frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from objectomaly_ros.evaluation.frames import Labels
from objectomaly_ros.evaluation.pixel import pixel_metrics
from objectomaly_ros.files.writing import open_replacing
from objectomaly_ros.types import Image, ScoreMap
from tools.training.embedded.evaluate import ScoreFunction


def strip(image: Image, score: ScoreMap, label: Labels, caption: str) -> Image:
    """Draw one row: image, score (0 black to 1 yellow), truth (object red, ignore grey)."""
    level = np.clip(score * 255, 0, 255).astype(np.uint8)
    heat = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    truth = image // 2
    truth[label == 1] = (255, 40, 40)
    truth[label == 255] = 128
    row: Image = np.ascontiguousarray(np.hstack([image, heat, truth]))
    cv2.putText(row, caption, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 0), 1, cv2.LINE_AA)
    return row


def write_sheets(
    score: ScoreFunction,
    frames: list[tuple[Image, Labels]],
    out: Path,
    name: str,
    count: int = 10,
) -> None:
    """Write `NAME_best.png` and `NAME_worst.png` of labelled images, by AuPRC."""
    ranked = []
    for index, (image, label) in enumerate(frames):
        if (label == 1).any():
            found = pixel_metrics(score(image), label)
            ranked.append((found.auprc, found.fpr95, index))
    ranked.sort(reverse=True)
    for title, chosen in (("best", ranked[:count]), ("worst", ranked[::-1][:count])):
        rows: list[Image] = []
        for auprc, fpr95, index in chosen:
            image, label = frames[index]
            caption = f"{index}  AuPRC {100 * auprc:.0f}  FPR95 {100 * fpr95:.1f}"
            row = strip(image, score(image), label, caption)
            rows.append(np.asarray(cv2.resize(row, (1440, 360), interpolation=cv2.INTER_AREA)))
        sheet = cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR)
        with open_replacing(out / f"{name}_{title}.png") as file:
            file.write(cv2.imencode(".png", sheet)[1].tobytes())
