"""Pictures of a replay: a contact sheet, a video, a latency plot."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from objectomaly_ros.bags.images import read_images, read_scores
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.demo.replay import NODE
from objectomaly_ros.demo.timing import STAGES, Timing, header_stamp_ns
from objectomaly_ros.demo.truth import Truth
from objectomaly_ros.evaluation.frames import ANOMALY
from objectomaly_ros.obstacles.overlay import score_colormap
from objectomaly_ros.types import Image

_PANEL_WIDTH = 480
_CODECS = (("webm", "VP80"), ("mp4", "mp4v"), ("avi", "MJPG"))
"""What browsers show comes first; OpenCV builds differ in what they can write."""


@dataclass
class Panels:
    """The pictures of one frame, RGB; None where the bag has none."""

    image: Image | None = None
    coarse: Image | None = None
    refined: Image | None = None
    overlay: Image | None = None


def score_limits(result: Bag) -> tuple[float, float]:
    """Scores for the first and last colour: 1st and 99.9th percentile over some of the frames."""
    stamps = stamps_of(result, f"{NODE}/coarse_score")
    chosen = set(stamps[:: max(1, len(stamps) // 20)])
    parts = [
        score.array[::4, ::4].ravel()
        for score in read_scores(result, f"{NODE}/coarse_score")
        if score.stamp_ns in chosen
    ]
    low, high = np.percentile(np.concatenate(parts), [1, 99.9])
    return float(low), max(float(high), float(low) + 1e-6)


def stamps_of(result: Bag, topic: str) -> list[int]:
    """The header stamps of a topic's messages, nanoseconds, in the order of recording."""
    if topic not in result.topics:
        return []
    return [header_stamp_ns(raw.data) for raw in result.messages([topic])]


def contact_sheet(
    result: Bag, image_topic: str, stamps: Sequence[int], truth: Truth | None, path: Path
) -> None:
    """Write a PNG with a row for each stamp: image, coarse score, refined score, overlay."""
    limits = score_limits(result)
    rows = []
    for number, (stamp, panels) in enumerate(_panels(result, image_topic, stamps, limits)):
        if truth is not None and panels.image is not None:
            panels.image = _outline_truth(panels.image, stamp, truth)
        columns = [panels.image, panels.coarse, panels.refined, panels.overlay]
        cells = [_cell(picture) for picture in columns]
        if number == 0:
            names = [
                "image" + (" and truth" if truth else ""),
                "~/coarse_score",
                "~/score",
                "~/overlay",
            ]
            cells = [_titled(cell, name) for cell, name in zip(cells, names, strict=True)]
        height = max(cell.shape[0] for cell in cells)
        cells = [_lengthened(cell, height) for cell in cells]
        rows.append(np.hstack(cells))
    sheet = np.vstack(rows)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def overlay_video(result: Bag, path: Path, rate_hz: float) -> Path | None:
    """Write overlay and score side by side as a video; return its file, None without overlays.

    The suffix of `path` is replaced by that of the first codec which this OpenCV can write.
    """
    overlays = result.topics.get(f"{NODE}/overlay")
    if overlays is None or overlays.count == 0:
        return None
    limits = score_limits(result)
    pairs = _merged(result, f"{NODE}/overlay", f"{NODE}/score")
    writer, target = None, path
    for overlay, score in tqdm(pairs, total=overlays.count, desc="video", unit="frame"):
        right = score_colormap(score, limits)
        right = np.asarray(cv2.resize(right, (overlay.shape[1], overlay.shape[0])), np.uint8)
        frame = np.hstack([overlay, right])
        frame = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
        if writer is None:
            writer, target = _open_video(path, rate_hz, (frame.shape[1], frame.shape[0]))
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    if writer is not None:
        writer.release()
    return target if writer is not None else None


def latency_plot(timing: Timing, path: Path) -> None:
    """Write a PNG: the latency of every frame, and what it is made of."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    frames = timing.frames
    start = frames[0].stamp_ns if frames else 0
    seconds = np.array([(frame.stamp_ns - start) / 1e9 for frame in frames])
    figure, axes = pyplot.subplots(figsize=(10, 4), layout="constrained")
    below = np.zeros(len(frames))
    for stage in STAGES:
        values = np.array([getattr(frame, stage) for frame in frames]) * 1e3
        values = np.nan_to_num(values)
        axes.fill_between(seconds, below, below + values, step="mid", label=stage, alpha=0.75)
        below = below + values
    total = np.array([frame.latency for frame in frames]) * 1e3
    axes.plot(seconds, total, "k.-", linewidth=0.8, markersize=3, label="latency")
    for percent, style in ((50, ":"), (95, "--")):
        value = timing.percentile("latency", percent) * 1e3
        axes.axhline(value, color="gray", linestyle=style, linewidth=0.9)
        axes.annotate(f"p{percent} {value:.0f} ms", (1, value), xycoords=("axes fraction", "data"),
                      ha="right", va="bottom", fontsize=8, color="dimgray")  # fmt: skip
    ages = np.array([frame.mask_age_frames for frame in frames])
    newer = seconds[1:][(ages[1:] >= 0) & ((ages[1:] < ages[:-1]) | (ages[:-1] < 0))]
    axes.plot(newer, np.zeros(len(newer)), "r|", markersize=14, label="newer masks")
    axes.set_xlabel("time of acquisition, s")
    axes.set_ylabel("ms")
    axes.set_ylim(bottom=0)
    axes.set_title("arrival in the node to publication, frame by frame", fontsize=10)
    figure.legend(loc="outside lower center", ncols=7, fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _panels(
    result: Bag, image_topic: str, stamps: Sequence[int], limits: tuple[float, float]
) -> Iterator[tuple[int, Panels]]:
    wanted = {stamp: Panels() for stamp in stamps}
    for topic, name in ((image_topic, "image"), (f"{NODE}/overlay", "overlay")):
        if topic in result.topics and result.topics[topic].count:
            for image in read_images(result, topic):
                if image.stamp_ns in wanted:
                    setattr(wanted[image.stamp_ns], name, image.array)
    for topic, name in ((f"{NODE}/coarse_score", "coarse"), (f"{NODE}/score", "refined")):
        if topic in result.topics and result.topics[topic].count:
            for score in read_scores(result, topic):
                if score.stamp_ns in wanted:
                    setattr(wanted[score.stamp_ns], name, score_colormap(score.array, limits))
    yield from wanted.items()


def _merged(result: Bag, images: str, scores: str) -> Iterator[tuple[Image, Any]]:
    """Overlays with the scores of the same stamp, whichever of them comes first in the bag."""
    waiting: dict[int, Any] = {}
    score_stream = read_scores(result, scores)
    for image in read_images(result, images):
        while image.stamp_ns not in waiting:
            score = next(score_stream, None)
            if score is None:
                break
            waiting[score.stamp_ns] = score.array
        if image.stamp_ns in waiting:
            yield image.array, waiting.pop(image.stamp_ns)


def _open_video(path: Path, rate_hz: float, size: tuple[int, int]) -> tuple[cv2.VideoWriter, Path]:
    for suffix, codec in _CODECS:
        target = path.with_suffix(f".{suffix}")
        with _quiet():  # OpenCV prints what it thinks of the codec
            writer = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*codec), rate_hz, size)
        if writer.isOpened():
            return writer, target
        target.unlink(missing_ok=True)
    raise RuntimeError(f"this OpenCV can write no video ({', '.join(c for _, c in _CODECS)})")


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop what C libraries write to standard error."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 (a device)
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _outline_truth(image: Image, stamp: int, truth: Truth) -> Image:
    known = truth.get(stamp)
    picture = image.copy()
    if known is not None:
        labels = (known.labels == ANOMALY).astype(np.uint8)
        contours, _ = cv2.findContours(labels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, (0, 255, 0), 2)
    return picture


def _cell(picture: Image | None) -> Image:
    if picture is None:
        return np.zeros((2, _PANEL_WIDTH, 3), np.uint8)
    height = round(picture.shape[0] * _PANEL_WIDTH / picture.shape[1])
    return np.asarray(cv2.resize(picture, (_PANEL_WIDTH, height), interpolation=cv2.INTER_AREA))


def _lengthened(cell: Image, height: int) -> Image:
    return np.vstack([cell, np.zeros((height - cell.shape[0], *cell.shape[1:]), np.uint8)])


def _titled(cell: Image, title: str) -> Image:
    bar = np.full((24, cell.shape[1], 3), 32, np.uint8)
    cv2.putText(bar, title, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (235,) * 3, 1, cv2.LINE_AA)
    return np.vstack([bar, cell])
