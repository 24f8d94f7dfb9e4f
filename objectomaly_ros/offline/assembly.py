"""Joins the segments of a recording: one bag, ids of obstacles, the table of obstacles, moments."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, TypeAlias

import cv2
import numpy as np

from objectomaly_ros.arrays.image_messages import decode_image
from objectomaly_ros.bags.messages import jpeg
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.bags.storage import RawMessage, merge_by_time
from objectomaly_ros.bags.writer import BagWriter
from objectomaly_ros.files.writing import open_replacing
from objectomaly_ros.obstacles.overlay import draw_overlay
from objectomaly_ros.obstacles.stage import ObstacleSettings
from objectomaly_ros.obstacles.tracking import ObstacleTracker, obstacle_ids
from objectomaly_ros.offline.cameras import finite
from objectomaly_ros.offline.moments import curve, most_anomalous
from objectomaly_ros.offline.outputs import Outputs
from objectomaly_ros.offline.plan import Plan
from objectomaly_ros.offline.planner import Numbers
from objectomaly_ros.offline.segment import read_rows

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""

_PICTURE_SIDE = 480


@dataclass(frozen=True)
class Segments:
    """A stream that is done: its plan, its output topics, and the bags of its segments."""

    plan: Plan
    outputs: Outputs
    parts: list[Path]


def assemble(
    name: str,
    streams: Sequence[Segments],
    settings: ObstacleSettings,
    bag: Path,
    table: Path,
) -> list[dict[str, Any]]:
    """Write the bag and the obstacle table of a recording.

    Obstacles are tracked here, from the first frame to the last, so their ids do not depend on the
    segments.

    Args:
        name: of the recording in the table.
        streams: of its image topics.
        settings: of the tracking.
        bag: the folder to make.
        table: one JSON object a line and obstacle.

    Returns:
        one dict a stream, for the page.

    Raises:
        BagError: a segment is damaged, or the bag cannot be written.
        OSError: the table cannot be written.
    """
    ids = obstacle_ids()
    joiners = [
        _Joiner(name, stream, ObstacleTracker(settings.min_iou, settings.max_missed, ids))
        for stream in streams
    ]
    by_topic = {topic: joiner for joiner in joiners for topic in joiner.outputs.topics.values()}
    with (
        BagWriter(bag, whole=True, compress=streams[0].outputs.raw) as writer,
        open_replacing(table, "w", encoding="utf-8") as lines,
    ):
        for joiner in joiners:
            joiner.outputs.announce(writer)
        for raw in merge_by_time((joiner.begin, joiner.messages()) for joiner in joiners):
            joiner = by_topic[raw.topic]
            for data in joiner.joined(raw, writer.store, lines):
                writer.write_raw(raw.topic, data, raw.log_time)
    return [joiner.summary() for joiner in joiners]


class _Joiner:
    """Goes through the messages of one stream."""

    def __init__(self, name: str, stream: Segments, tracker: ObstacleTracker) -> None:
        self.outputs = stream.outputs
        self._by_topic = {topic: output for output, topic in stream.outputs.topics.items()}
        self._name = name
        self._plan = plan = stream.plan
        self._parts = stream.parts
        self._tracker = tracker
        self._rows = rows = [read_rows(part) for part in stream.parts]
        self._index = np.array([i for row in rows for i in row.index], np.int64)
        self._anomaly = np.array([a for row in rows for a in row.anomaly], np.float64)
        self.begin = int(plan.stream.log_times[0])
        # Runs follow one another, whatever their stamps.
        self._seconds = (plan.stream.log_times[self._index] - self.begin) / 1e9
        self._moments = most_anomalous(self._seconds, self._anomaly)
        self._pictures: dict[int, str] = {}
        self._ids: dict[int, list[int]] = {}
        self._ranges: dict[int, list[float | None]] = {}
        self._counts = {"obstacles": 0, "overlay": 0}  # of messages
        self._seen: set[int] = set()
        self._numbers = Numbers()
        self._frame_ids: list[int] = []
        self._boxes: list[Box] = []

    def messages(self) -> Iterator[RawMessage]:
        for part in self._parts:
            with Bag(part) as bag:
                yield from bag.messages()

    def joined(self, raw: RawMessage, store: Any, lines: IO[str]) -> list[bytes]:
        """Return what takes the place of a message, with what only the whole stream tells."""
        output = self._by_topic[raw.topic]
        if output == "overlay":
            number = self._count("overlay")
            if number in self._moments:
                overlay = store.deserialize_cdr(raw.data, raw.msgtype)
                ranges = self._ranges[number]
                self._pictures[number] = _picture(overlay, self._boxes, self._frame_ids, ranges)
        if output not in ("obstacles", "points", "footprints"):
            return [raw.data]
        message = store.deserialize_cdr(raw.data, raw.msgtype)
        found = [message]
        if output == "obstacles":
            number = self._count("obstacles")
            self._frame_ids = self._track(message, int(self._index[number]), lines)
            if number in self._moments:
                self._ids[number] = self._frame_ids
                self._ranges[number] = [finite(one.range) for one in message.obstacles]
        elif output == "points":
            self._numbers.cloud(message, self._frame_ids)
        else:
            found = self._numbers.footprints(store, message, self._frame_ids)
        return [bytes(store.serialize_cdr(one, raw.msgtype)) for one in found]

    def _count(self, output: str) -> int:
        self._counts[output] += 1
        return self._counts[output] - 1

    def _track(self, message: Any, index: int, lines: IO[str]) -> list[int]:
        plan = self._plan
        if index and plan.runs[index] != plan.runs[index - 1]:
            self._tracker.reset()
        found = message.obstacles
        boxes = [(o.box.x_offset, o.box.y_offset, o.box.width, o.box.height) for o in found]
        self._boxes = boxes
        regions: list[Any] = [SimpleNamespace(box=box) for box in boxes]
        ids = self._tracker.update(regions, float(plan.times[index]))
        self._seen.update(ids)
        for obstacle, box, number in zip(found, boxes, ids, strict=True):
            obstacle.id, obstacle.age = number, self._tracker.age(number)
            row = {
                "recording": self._name,
                "topic": plan.stream.topic,
                "stamp_ns": int(plan.stream.stamps[index]),
                "frame_id": message.header.frame_id,
                "id": number,
                "age": obstacle.age,
                "score": round(float(obstacle.score), 6),
                "max_score": round(float(obstacle.max_score), 6),
                "x": box[0],
                "y": box[1],
                "width": box[2],
                "height": box[3],
                "area": obstacle.area,
                "range_m": finite(obstacle.range),
                "range_std_m": finite(obstacle.range_std),
                "height_m": finite(obstacle.height),
                "image_width": message.width,
                "image_height": message.height,
                "refined": bool(message.refined),
            }
            lines.write(json.dumps(row) + "\n")
        return ids

    def summary(self) -> dict[str, Any]:
        """Return what the page shows of the stream."""
        plan, rows = self._plan, self._rows
        return {
            "topic": plan.stream.topic,
            "outputs": self.outputs.topics,
            "images": len(plan.stream),
            "frames": len(self._index),
            "unreadable": sum(row.unreadable for row in rows),
            "problem": next((row.problem for row in rows if row.problem), ""),
            "ranges": next((row.ranges for row in rows if row.ranges), ""),
            "seconds": round(float(plan.stream.log_times[-1] - self.begin) / 1e9, 3),
            "begin_ns": self.begin,
            "obstacles": len(self._seen),
            "peak": float(self._anomaly.max(initial=-np.inf)) if len(self._anomaly) else None,
            "curve": curve(self._seconds, self._anomaly),
            "moments": [
                {
                    "stamp_ns": int(plan.stream.stamps[self._index[place]]),
                    "second": round(float(self._seconds[place]), 3),
                    "anomaly": float(self._anomaly[place]),
                    "obstacles": self._ids[place],
                    "ranges": self._ranges[place],
                    "picture": self._pictures[place],
                }
                for place in self._moments
            ],
        }


def _picture(
    message: Any, boxes: Sequence[Box], ids: Sequence[int], ranges: Sequence[float | None]
) -> str:
    """Return an overlay as JPEG in base64, small enough for a page, with the ids of obstacles."""
    image = decode_image(message)
    height, width = image.shape[:2]
    scale = min(1.0, _PICTURE_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    regions: list[Any] = [
        SimpleNamespace(box=[round(scale * side) for side in box]) for box in boxes
    ]
    labelled = draw_overlay(small, None, None, regions, ids, ranges=ranges)
    return base64.b64encode(jpeg(labelled, 80)).decode()
