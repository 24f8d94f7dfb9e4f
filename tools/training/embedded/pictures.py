"""Contact sheets of what a detector does: image, score and truth side by side."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.files.writing import open_replacing

from .evaluate import F32, U8, Figures, ScoreFunction, figures, histogram, names, read_pair


def strip(image: U8, score: F32, label: U8, caption: str) -> U8:
    """One row: the image, the score (0 black to 1 yellow), the truth (red object, grey ignore)."""
    level = np.clip(score * 255, 0, 255).astype(np.uint8)
    heat = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    truth = image // 2
    truth[label == 1] = (255, 40, 40)
    truth[label == 255] = 128
    row: U8 = np.ascontiguousarray(np.hstack([image, heat, truth]))
    cv2.putText(row, caption, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 0), 1, cv2.LINE_AA)
    return row


def write_sheets(score: ScoreFunction, folder: Path, out: Path, count: int = 10) -> None:
    """Write `best.png` and `worst.png` of the frames of a street_ood folder, by AuPRC."""
    ranked: list[tuple[float, str, Figures]] = []
    for name in names(folder):
        image, label = read_pair(folder, name)
        if (label == 1).any():
            found = figures(*histogram(score(image), label))
            ranked.append((found.auprc, name, found))
    ranked.sort(reverse=True)
    for title, chosen in (("best", ranked[:count]), ("worst", ranked[::-1][:count])):
        rows: list[npt.NDArray[np.uint8]] = []
        for auprc, name, found in chosen:
            image, label = read_pair(folder, name)
            caption = f"{Path(name).stem}  AuPRC {100 * auprc:.0f}  FPR95 {100 * found.fpr95:.1f}"
            rows.append(strip(image, score(image), label, caption))
        sheet = cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR)
        with open_replacing(out / f"{title}.png") as file:
            file.write(cv2.imencode(".png", sheet)[1].tobytes())
