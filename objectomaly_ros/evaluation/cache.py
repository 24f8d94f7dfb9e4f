"""Score maps on disk, so that an interrupted run resumes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from objectomaly_ros.detectors.score_files import read_score_map, write_score_map
from objectomaly_ros.types import ScoreMap

_FORMAT = "1"  # raise it when OASC or the file format changes


class ScoreCache:
    """Stores one score map under each key.

    Args:
        folder: made if missing. A coarse map of 480x360 takes about 0.5 MB.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def key(self, *parts: str | bytes) -> str:
        """Return the key of a map computed from these contents and identities."""
        digest = hashlib.sha256(_FORMAT.encode())
        for part in parts:
            data = part.encode(errors="surrogateescape") if isinstance(part, str) else part
            digest.update(len(data).to_bytes(8, "little") + data)
        return digest.hexdigest()[:40]

    def load(self, key: str) -> ScoreMap | None:
        """Return the map, (H, W) float32; None if it is missing or damaged."""
        try:
            return read_score_map(self._path(key), "score")
        except (OSError, ValueError):
            return None

    def store(self, key: str, score: ScoreMap) -> None:
        """Write a map, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        write_score_map(self._path(key), score)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.npz"
