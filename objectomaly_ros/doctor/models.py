"""Weights: those of the package, downloaded checkpoints, a memory of normal driving."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.table import TABLE, Checkpoint
from objectomaly_ros.checkpoints.verify import verify
from objectomaly_ros.doctor.findings import Finding
from objectomaly_ros.doctor.probe import run_in_child


def detector_finding(
    name: str, checkpoint: str | Path | None, options: Mapping[str, Any]
) -> Finding:
    """Load a detector in a child process, score a picture, and report on it."""
    found, problem = run_in_child(
        "score_a_picture", name, str(checkpoint or ""), json.dumps(dict(options))
    )
    subject = f"detector {name}"
    if problem:
        remedy = "mend the packages above; if they are well, check its name, weights and options"
        if (name, checkpoint) == ("embedded", None):
            remedy = "mend the packages above; if they are well, install objectomaly_ros again"
        return Finding("error", subject, f"cannot score a picture: {problem}", remedy)
    text = f"scores a picture from {found['low']:.3f} to {found['high']:.3f}"
    return Finding("ok", subject, f"{text}, {checkpoint or 'with its own weights'}")


def memory_finding(
    path: Path, name: str, checkpoint: str | Path | None, options: Mapping[str, Any]
) -> Finding:
    """Report whether a memory of `objectomaly learn` fits a detector."""
    _, problem = run_in_child(
        "score_a_picture",
        name,
        str(checkpoint or ""),
        json.dumps({**options, "memory": str(path)}),
    )
    if problem:
        remedy = f"objectomaly learn DRIVE --out {path} --detector {name}"
        return Finding("error", "memory file", f"{path}: {problem}", remedy)
    return Finding("ok", "memory file", f"{path} fits the detector {name}")


def checkpoint_findings(folder: Path) -> list[Finding]:
    """Verify every known checkpoint in a folder."""
    present = [checkpoint for checkpoint in TABLE.values() if (folder / checkpoint.file).exists()]
    if not present:
        return [
            Finding(
                "ok",
                "checkpoints",
                f"none in {folder}, and the default profile needs none",
                "for the paper's networks: objectomaly checkpoints list",
            )
        ]
    return [_checkpoint(checkpoint, folder / checkpoint.file) for checkpoint in present]


def _checkpoint(checkpoint: Checkpoint, path: Path) -> Finding:
    again = f"objectomaly checkpoints download {checkpoint.name}"
    remedy = f"remove it and bring it again from {checkpoint.url}" if checkpoint.by_hand else again
    try:
        if checkpoint.member:  # only the archive that it came in has a published hash
            size = path.stat().st_size
            return Finding("ok", checkpoint.name, f"{size / 1e6:.0f} MB, no hash is published")
        return Finding("ok", checkpoint.name, verify(path, checkpoint))
    except (CheckpointError, OSError) as error:
        return Finding("error", checkpoint.name, str(error), remedy)
