"""Score maps on disk, so that an interrupted run resumes."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np

from objectomaly_ros.files.writing import open_replacing
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
            data = part.encode() if isinstance(part, str) else part
            digest.update(len(data).to_bytes(8, "little") + data)
        return digest.hexdigest()[:40]

    def load(self, key: str) -> ScoreMap | None:
        """Return the map, (H, W) float32; None if it is missing or damaged."""
        try:
            with np.load(self._path(key), allow_pickle=False) as content:
                score: ScoreMap = content["score"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return score if score.ndim == 2 and score.dtype == np.float32 else None

    def store(self, key: str, score: ScoreMap) -> None:
        """Write a map, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        content = io.BytesIO()
        np.savez_compressed(content, score=score)
        with open_replacing(self._path(key)) as file:
            file.write(content.getbuffer())

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.npz"
