"""Score maps of another program as a detector: refinement is post-hoc and takes any."""

from __future__ import annotations

from pathlib import Path

from objectomaly_ros.arrays.checks import check_image
from objectomaly_ros.detectors.score_files import SUFFIXES, fitted, read_score_map
from objectomaly_ros.types import Image, ScoreMap


class PrecomputedDetector:
    """Scores every image by a map from a folder.

    An image has no name: each call takes the next file in the order of names, or the one that
    `select` has named.

    Args:
        checkpoint: a folder of maps (.npy, .npz, 16-bit .png, .tif), or one such file for all
            images.
        device: ignored.
        key: name of the array in .npz files, see `read_score_map`.
        resize: scale maps of another size to the image's, see `fitted`.

    Raises:
        FileNotFoundError: there is no such folder or file, or no map in it.
    """

    def __init__(
        self,
        checkpoint: str | Path | None = None,
        device: str = "cpu",
        *,
        key: str | None = None,
        resize: bool = False,
    ) -> None:
        path = Path(checkpoint or "")
        if checkpoint is None or not path.exists():
            raise FileNotFoundError(
                f"precomputed needs a folder of score maps as its checkpoint; {checkpoint} is none"
            )
        self._repeat = path.is_file()
        self._files = [path] if self._repeat else _maps_in(path)
        if not self._files:
            raise FileNotFoundError(f"no score map in {path} (looked for {', '.join(SUFFIXES)})")
        self._next = 0
        self._key = key
        self._resize = resize

    def select(self, name: str) -> None:
        """Make the map `name`, with or without suffix, the next one.

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
            ValueError: it cannot be read, or has another size than the image.
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
        try:
            score = fitted(score, image, resize=self._resize, hint="the option resize=true")
        except ValueError as error:
            raise ValueError(f"{file} {error}") from error
        if not self._repeat:
            self._next += 1
        return score


def _maps_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
