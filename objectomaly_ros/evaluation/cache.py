"""Score maps on disk, so that a run that was interrupted goes on where it was."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np

from objectomaly_ros.files.writing import open_replacing
from objectomaly_ros.types import ScoreMap

_FORMAT = "1"  # raise it when OASC or the file format changes what a stored map means


class ScoreCache:
    """Stores one score map a key, each written whole or not at all.

    Args:
        folder: made where it is missing. About 0.5 MB a coarse map of 480x360.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def key(self, *parts: str | bytes) -> str:
        """Return the key of what is computed from these parts (contents and identities)."""
        digest = hashlib.sha256(_FORMAT.encode())
        for part in parts:
            data = part.encode() if isinstance(part, str) else part
            digest.update(len(data).to_bytes(8, "little") + data)
        return digest.hexdigest()[:40]

    def load(self, key: str) -> ScoreMap | None:
        """Return the map, (H, W) float32; None where there is none or it is damaged."""
        try:
            with np.load(self._path(key), allow_pickle=False) as content:
                score: ScoreMap = content["score"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return score if score.ndim == 2 and score.dtype == np.float32 else None

    def store(self, key: str, score: ScoreMap) -> None:
        """Write a map; a process that is killed meanwhile leaves nothing under the key.

        Raises:
            OSError: it cannot be written.
        """
        content = io.BytesIO()
        np.savez_compressed(content, score=score)
        with open_replacing(self._path(key)) as file:
            file.write(content.getbuffer())

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.npz"
