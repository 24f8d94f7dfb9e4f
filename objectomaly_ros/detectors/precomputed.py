"""Score maps that another program has computed: the refinement is post-hoc, any will do."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.image_check import check_image
from objectomaly_ros.types import Image, ScoreMap

_SUFFIXES = (".npy", ".npz", ".png", ".tif", ".tiff")
_KEYS = ("score", "anomaly", "arr_0")


class PrecomputedDetector:
    """Answers every image with a map from a folder.

    An image carries no name, so the files are taken in the order of their names, one a call;
    `select` names the next one instead.

    Args:
        checkpoint: a folder of maps (.npy, .npz, 16-bit .png, .tif), or one such file, which then
            serves every image.
        device: ignored; it is here because every detector takes it.
        key: which array of .npz files, see `read_score_map`.

    Raises:
        FileNotFoundError: there is no such folder or file, or no map in it.
    """

    def __init__(
        self,
        checkpoint: str | Path | None = None,
        device: str = "cpu",
        *,
        key: str | None = None,
    ) -> None:
        path = Path(checkpoint or "")
        if checkpoint is None or not path.exists():
            raise FileNotFoundError(
                f"precomputed needs a folder of score maps as its checkpoint; {checkpoint} is none"
            )
        self._repeat = path.is_file()
        self._files = [path] if self._repeat else _maps_in(path)
        if not self._files:
            raise FileNotFoundError(f"no score map in {path} (looked for {', '.join(_SUFFIXES)})")
        self._next = 0
        self._key = key

    def select(self, name: str) -> None:
        """Make the map called `name`, with or without its suffix, the next one.

        Raises:
            FileNotFoundError: there is none.
        """
        for index, file in enumerate(self._files):
            if name in (file.name, file.stem):
                self._next = index
                return
        raise FileNotFoundError(f"no score map called {name} in {self._files[0].parent}")

    def score(self, image: Image) -> ScoreMap:
        """Return the next map, (H, W) float32.

        Raises:
            ValueError: its size is not the image's.
            IndexError: every map has been used.
        """
        check_image(image)
        if self._next >= len(self._files):
            raise IndexError(
                f"all {len(self._files)} score maps of {self._files[0].parent} are used up: there "
                "are more images than maps"
            )
        file = self._files[self._next]
        score = read_score_map(file, self._key)
        if score.shape != image.shape[:2]:
            raise ValueError(
                f"{file} is {score.shape[1]}x{score.shape[0]}, the image "
                f"{image.shape[1]}x{image.shape[0]}: is it another image's?"
            )
        if not self._repeat:
            self._next += 1
        return score


def read_score_map(path: str | Path, key: str | None = None) -> ScoreMap:
    """Read a score map.

    Args:
        path: .npy; .npz with one array, or one called `score` or `anomaly`; .png of 8 or 16 bits,
            which is scaled to 0..1; .tif of floats as they are, or of integers scaled alike.
        key: which array of an .npz that holds several.

    Returns:
        (H, W) float32.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it cannot be read as a map, or holds values that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no score map at {path}")
    arrays = path.suffix.lower() in (".npy", ".npz")
    values = _read_array(path, key) if arrays else _read_picture(path)
    values = np.squeeze(values)
    if values.ndim != 2 or values.dtype.kind not in "fiub":
        raise ValueError(f"{path} holds {values.shape} {values.dtype}; a score map is (H, W)")
    score = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(score).all():
        raise ValueError(f"{path} holds values that are not finite")
    return score


def _maps_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)


def _read_array(path: Path, wanted: str | None) -> npt.NDArray[np.generic]:
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content:
            if wanted is not None and wanted not in content:
                raise ValueError(f"it has no array {wanted!r}, only {', '.join(content.files)}")
            keys = [wanted] if wanted else [key for key in _KEYS if key in content] or list(content)
            if not wanted and len(content.files) > 1 and keys[0] not in _KEYS:
                raise ValueError(f"its arrays are {', '.join(content.files)}; name one `score`")
            array: npt.NDArray[np.generic] = content[keys[0]]
            return array
    except (ValueError, EOFError, OSError, IndexError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a score map: {error}") from error


def _read_picture(path: Path) -> npt.NDArray[np.generic]:
    if path.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"{path} is no score map; known are {', '.join(_SUFFIXES)}")
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise ValueError(f"{path} cannot be read as a picture")
    if picture.dtype.kind == "f":
        return picture
    top = np.iinfo(str(picture.dtype)).max
    scaled: npt.NDArray[np.float32] = picture.astype(np.float32) / np.float32(top)
    return scaled
