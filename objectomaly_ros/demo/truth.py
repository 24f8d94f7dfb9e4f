"""Keeps the ground truth of a drive beside its bag."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from objectomaly_ros.demo.drive.render import FrameTruth
from objectomaly_ros.files.writing import open_replacing


def save_truth(truth: Mapping[int, FrameTruth], path: Path) -> None:
    """Write the truth of every stamp (ns) as .npz: `stamps_ns`, `ids`, `objects` as JSON."""
    stamps = sorted(truth)
    objects = [[asdict(seen) for seen in truth[stamp].objects] for stamp in stamps]
    with open_replacing(path) as file:
        np.savez_compressed(
            file,
            stamps_ns=np.array(stamps, np.int64),
            ids=np.stack([truth[stamp].ids for stamp in stamps]),
            objects=np.array(json.dumps(objects)),
        )
