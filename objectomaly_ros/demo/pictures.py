"""Pictures of a replay: a contact sheet, a video, a latency plot."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from objectomaly_ros.bags.images import read_images, read_scores
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.demo.drive.render import FrameTruth, Truth
from objectomaly_ros.demo.replay import NODE
from objectomaly_ros.demo.timing import STAGES, Timing, header_stamp_ns
from objectomaly_ros.evaluation.frames import ANOMALY
from objectomaly_ros.files.writing import open_replacing, replacing
from objectomaly_ros.obstacles.overlay import score_colormap
from objectomaly_ros.types import Image

_PANEL_WIDTH = 480
# What browsers show comes first; OpenCV builds differ in what they can write.
_CODECS = ((".webm", "VP80"), (".mp4", "mp4v"), (".avi", "MJPG"))


def score_limits(result: Bag) -> tuple[float, float]:
    """Return the scores of the first and last colour: percentiles 1 and 99.9 of some frames."""
    topic = f"{NODE}/coarse_score"
    stamps = stamps_of(result, topic)
    chosen = set(stamps[:: max(1, len(stamps) // 20)])
    scores = (score for score in read_scores(result, topic) if score.stamp_ns in chosen)
    parts = [score.array[::4, ::4].ravel() for score in scores]
    low, high = np.percentile(np.concatenate(parts), [1, 99.9])
    return float(low), max(float(high), float(low) + 1e-6)


def stamps_of(result: Bag, topic: str) -> list[int]:
    """Return the header stamps (ns) of a topic's messages in the order of recording."""
    return [header_stamp_ns(raw.data) for raw in result.messages([topic])]


def contact_sheet(
    result: Bag, image_topic: str, stamps: Sequence[int], truth: Truth | None, path: Path
) -> None:
    """Write a PNG with a row for each stamp: image, coarse score, refined score, overlay."""
    if not stamps:
        return
    limits = score_limits(result)
    titles = {
        image_topic: "image and truth" if truth else "image",
        f"{NODE}/coarse_score": "~/coarse_score",
        f"{NODE}/score": "~/score",
        f"{NODE}/overlay": "~/overlay",
    }
    columns: list[list[Image]] = []
    for topic, title in titles.items():
        pictures: dict[int, Image] = {}
        read: Any = read_scores if topic.endswith("score") else read_images
        for frame in read(result, topic) if result.count(topic) else ():
            if frame.stamp_ns in stamps:
                scored = read is read_scores
                picture = score_colormap(frame.array, limits) if scored else frame.array
                if topic == image_topic and truth and frame.stamp_ns in truth:
                    picture = _outlined(picture, truth[frame.stamp_ns])
                pictures[frame.stamp_ns] = picture
        cells = [_cell(pictures.get(stamp)) for stamp in stamps]
        columns.append([_titled(cells[0], title), *cells[1:]])
    rows = []
    for row in zip(*columns, strict=True):
        height = max(cell.shape[0] for cell in row)
        padded = [np.pad(cell, ((0, height - cell.shape[0]), (0, 0), (0, 0))) for cell in row]
        rows.append(np.hstack(padded))
    _, data = cv2.imencode(".png", cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))
    with open_replacing(path) as file:
        file.write(data)


def overlay_video(result: Bag, path: Path, rate_hz: float) -> Path | None:
    """Write overlay and score side by side as a video; return its file, None without overlays.

    The suffix of `path` is replaced by that of the first codec that this OpenCV can write.

    Raises:
        OSError: there is no such codec, or the file cannot be written.
    """
    count = result.count(f"{NODE}/overlay")
    frames = _video_frames(result) if count else iter(())
    first = next(frames, None)
    if first is None:
        return None
    size = (first.shape[1], first.shape[0])
    suffix, codec = _codec(rate_hz, size)
    path = path.with_suffix(suffix)
    with replacing(path) as temporary:
        writer = _video_writer(str(temporary), codec, rate_hz, size)
        for frame in tqdm(chain([first], frames), total=count, desc="video", unit="frame"):
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        writer.release()
    return path


def latency_plot(timing: Timing, path: Path) -> None:
    """Write a PNG: the latency of every frame, and its stages."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    frames = timing.frames
    start = frames[0].stamp_ns if frames else 0
    seconds = np.array([(frame.stamp_ns - start) / 1e9 for frame in frames])
    figure, axes = pyplot.subplots(figsize=(10, 4), layout="constrained")
    below = np.zeros(len(frames))
    for stage in STAGES:
        values = np.nan_to_num([1e3 * getattr(frame, stage) for frame in frames])
        axes.fill_between(seconds, below, below + values, step="mid", label=stage, alpha=0.75)
        below = below + values
    total = [1e3 * frame.latency for frame in frames]
    axes.plot(seconds, total, "k.-", linewidth=0.8, markersize=3, label="latency")
    for percent, style in ((50, ":"), (95, "--")):
        value = timing.percentile("latency", percent) * 1e3
        axes.axhline(value, color="gray", linestyle=style, linewidth=0.9)
        axes.annotate(f"p{percent} {value:.0f} ms", (1, value), xycoords=("axes fraction", "data"),
                      ha="right", va="bottom", fontsize=8, color="dimgray")  # fmt: skip
    ages = np.array([frame.mask_age_frames for frame in frames])
    newer = seconds[1:][(ages[1:] >= 0) & ((ages[1:] < ages[:-1]) | (ages[:-1] < 0))]
    axes.plot(newer, np.zeros(len(newer)), "r|", markersize=14, label="newer masks")
    axes.set(xlabel="time of acquisition, s", ylabel="ms", ylim=(0, None))
    axes.set_title("from arrival in the node to publication, frame by frame", fontsize=10)
    figure.legend(loc="outside lower center", ncols=7, fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    pyplot.close(figure)


def _video_frames(result: Bag) -> Iterator[Image]:
    """Yield every overlay with the score of its stamp, whichever comes first in the bag."""
    limits = score_limits(result)
    scores = read_scores(result, f"{NODE}/score")
    waiting: dict[int, Any] = {}
    for overlay in read_images(result, f"{NODE}/overlay"):
        while overlay.stamp_ns not in waiting and (score := next(scores, None)) is not None:
            waiting[score.stamp_ns] = score.array
        if overlay.stamp_ns in waiting:
            height, width = overlay.array.shape[:2]
            right = score_colormap(waiting.pop(overlay.stamp_ns), limits)
            both = np.hstack([overlay.array, cv2.resize(right, (width, height))])
            yield np.ascontiguousarray(both[: height // 2 * 2, :])  # codecs want even sizes


def _codec(rate_hz: float, size: tuple[int, int]) -> tuple[str, str]:
    """Return suffix and name of the first codec that OpenCV opens a file with."""
    with TemporaryDirectory() as folder:
        for suffix, name in _CODECS:
            if _video_writer(f"{folder}/video{suffix}", name, rate_hz, size).isOpened():
                return suffix, name
    names = ", ".join(name for _, name in _CODECS)
    raise OSError(f"this OpenCV can write no video: it has none of the codecs {names}")


def _video_writer(path: str, codec: str, rate_hz: float, size: tuple[int, int]) -> cv2.VideoWriter:
    with _quiet():  # OpenCV prints what it thinks of codecs
        return cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*codec), rate_hz, size)


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


def _outlined(image: Image, known: FrameTruth) -> Image:
    labels = (known.labels == ANOMALY).astype(np.uint8)
    contours, _ = cv2.findContours(labels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(image.copy(), contours, -1, (0, 255, 0), 2))


def _cell(picture: Image | None) -> Image:
    if picture is None:
        return np.zeros((2, _PANEL_WIDTH, 3), np.uint8)
    height = round(picture.shape[0] * _PANEL_WIDTH / picture.shape[1])
    return np.asarray(cv2.resize(picture, (_PANEL_WIDTH, height), interpolation=cv2.INTER_AREA))


def _titled(cell: Image, title: str) -> Image:
    bar = np.full((24, cell.shape[1], 3), 32, np.uint8)
    cv2.putText(bar, title, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (235,) * 3, 1, cv2.LINE_AA)
    return np.vstack([bar, cell])
