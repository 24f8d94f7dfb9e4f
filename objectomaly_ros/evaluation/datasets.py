"""Road-anomaly datasets on disk: pairs of images and ground truth.

Known layouts: the Objectomaly and Mask2Anomaly repositories (`RoadAnomaly21`, ...), the official
SegmentMeIfYouCan downloads (`dataset_AnomalyTrack`, ...), Fishyscapes, Lost and Found, and any
folder with images in one subfolder and labels of the same names in another. Files of instance ids
may lie in `labels_instances` in each of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
IMAGE_FOLDERS = ("images", "original", "leftImg8bit")
LABEL_FOLDERS = ("labels_masks", "labels", "gtCoarse", "fishyscapes_lostandfound")
# Endings of label files after the name of the image, in order of preference.
LABEL_ENDINGS = (
    ".png",
    "_labels_semantic.png",
    "_labels.png",
    "_gtCoarse_labelIds.png",
    ".bmp",
    ".tif",
    ".tiff",
    ".jpg",  # refused later, with the reason: JPEG does not keep label values
)
INSTANCE_FOLDER = "labels_instances"
# Endings of instance files after the name of the image; the later ones are coded as Cityscapes.
CITYSCAPES_IDS = "_instanceIds.png"
INSTANCE_ENDINGS = (".png", CITYSCAPES_IDS, "_gtCoarse_instanceIds.png")
IMAGE_ENDINGS = re.compile(r"(_leftImg8bit|_rgb)$")
FISHYSCAPES_INDEX = re.compile(r"^\d{4}_(?=\d{2}_)")

PLAIN: Mapping[int, int] = {0: 0, 1: 1, 255: 255}
_LOST_AND_FOUND: Mapping[int, int] = {0: 255, 1: 0, 255: 255, **dict.fromkeys(range(2, 201), 1)}


class DatasetError(ValueError):
    """A folder is no dataset; the message names what is expected and what is there."""


@dataclass(frozen=True)
class Frame:
    """One image and its ground truth.

    Attributes:
        name: path of the image in its folder, without the suffix; unique in its dataset.
        image: path of the image.
        labels: path of the labels; None if they are missing.
        instances: path of the ids of its instances; None without.
    """

    name: str
    image: Path
    labels: Path | None
    instances: Path | None = None


@dataclass(frozen=True)
class Conventions:
    """What the name of a known dataset implies.

    Attributes:
        track: of the size limits of components, a key of `components.TRACKS`.
        label_values: value in the file -> 0 normal, 1 anomaly, 255 ignore; others are errors.
        published: key of the published figures in `published.json`; None without any.
        hidden_labels: frames without labels are a hidden test set, and no fault.
        left_out: beginnings of names that are not in the official split.
    """

    track: str = "AnomalyTrack"
    label_values: Mapping[int, int] = field(default_factory=lambda: PLAIN)
    published: str | None = None
    hidden_labels: bool = False
    left_out: tuple[str, ...] = ()


_ANOMALY = Conventions(published="AnomalyTrack")
_OBSTACLE = Conventions("ObstacleTrack", published="ObstacleTrack")
# 2 is an obstacle in the original labels; Mask2Anomaly reads it so too.
_ROAD_ANOMALY = Conventions(label_values={0: 0, 1: 1, 2: 1, 255: 255}, published="RoadAnomaly")
_FS_STATIC = Conventions(published="FS Static")
_FS_LOST_FOUND = Conventions("ObstacleTrack", published="FS Lost & Found")

KNOWN: dict[str, Conventions] = {
    "RoadAnomaly21": _ANOMALY,
    "RoadObsticle21": _OBSTACLE,  # spelled so on disk
    "RoadObstacle21": _OBSTACLE,
    "RoadAnomaly": _ROAD_ANOMALY,
    "fs_static": _FS_STATIC,
    "Static": _FS_STATIC,
    "FS_LostFound_full": _FS_LOST_FOUND,
    "LostAndFound": _FS_LOST_FOUND,
    "fishyscapes": _FS_LOST_FOUND,
    "dataset_AnomalyTrack": Conventions(published="AnomalyTrack", hidden_labels=True),
    "dataset_ObstacleTrack": Conventions(
        "ObstacleTrack",
        published="ObstacleTrack",
        hidden_labels=True,
        # the official validation split is the other 30 frames
        left_out=("validation_19", *(f"validation_{n}" for n in range(21, 30))),
    ),
    "dataset_LostAndFound": Conventions("ObstacleTrack", _LOST_AND_FOUND),
}


@dataclass(frozen=True)
class Dataset:
    """A dataset found on disk.

    Attributes:
        name: of its folder.
        folder: its path.
        frames: in the order of their names.
        conventions: how to read its labels.
        notes: for readers of the results (frames left out, labels without image).
    """

    name: str
    folder: Path
    frames: tuple[Frame, ...]
    conventions: Conventions
    notes: tuple[str, ...] = ()

    def with_labels(self, values: Mapping[int, int]) -> Dataset:
        """Return the dataset with other meanings of values in its label files."""
        known = {**self.conventions.label_values, **values}
        return replace(self, conventions=replace(self.conventions, label_values=known))


def find_datasets(root: str | Path, names: Sequence[str] = ()) -> list[Dataset]:
    """Open `root` if it is a dataset, else the datasets in it.

    Args:
        root: a folder.
        names: of datasets in `root`; none for all.

    Raises:
        DatasetError: there is no dataset, or none of a name.
    """
    root = Path(root)
    if not root.is_dir():
        what = "is a file" if root.is_file() else "does not exist"
        raise DatasetError(f"{root} {what}; give the folder of a dataset or of several")
    if _folders_of(root) is not None:
        own = root.resolve().name
        if names and own not in names:
            raise DatasetError(f"{root} is the dataset {own}, not {', '.join(names)}")
        return [open_dataset(root)]
    candidates = {
        child.name: child
        for child in sorted(root.iterdir())
        if child.is_dir() and _folders_of(child) is not None
    }
    if not candidates:
        raise _no_dataset(root)
    unknown = [name for name in names if name not in candidates]
    if unknown:
        raise DatasetError(
            f"no dataset {', '.join(unknown)} in {root}; it has {', '.join(candidates)}"
        )
    return [open_dataset(candidates[name]) for name in names or candidates]


def open_dataset(folder: str | Path) -> Dataset:
    """Pair the images of a dataset with their labels, recursively.

    Frames without labels are kept, unless the layout has hidden test labels.

    Raises:
        DatasetError: the folder has no known layout, or no images.
    """
    folder = Path(folder)
    pair = _folders_of(folder)
    if pair is None:
        raise _no_dataset(folder)
    image_folder, label_folder = pair
    name = folder.resolve().name
    conventions = KNOWN.get(name)
    if conventions is None:
        if label_folder.name == "fishyscapes_lostandfound":
            conventions = _FS_LOST_FOUND
        elif label_folder.name == "gtCoarse":
            conventions = KNOWN["dataset_LostAndFound"]
        else:
            conventions = Conventions()
    images = sorted(files_in(image_folder, IMAGE_SUFFIXES))
    if not images:
        raise DatasetError(
            f"no images in {image_folder} (looked for {', '.join(IMAGE_SUFFIXES)}); "
            f"found {_listing(image_folder)}"
        )
    by_index = label_folder.name == "fishyscapes_lostandfound"
    labels = _labels_by_name(label_folder, LABEL_ENDINGS, nested=not by_index)
    instances = _instances_by_name(folder, label_folder, nested=not by_index)
    notes = []
    if by_index:  # Fishyscapes labels 100 images of Lost and Found, without subfolders
        images = [image for image in images if _key(image, image.parent) in labels]
        if not images:
            raise DatasetError(f"no image in {image_folder} belongs to a label in {label_folder}")
    frames: list[Frame] = []
    taken: dict[str, Path] = {}
    for image in images:
        name_in_set = image.relative_to(image_folder).with_suffix("").as_posix()
        if image.stem.startswith(conventions.left_out or ("\0",)):
            continue
        if name_in_set in taken:
            notes.append(f"{image} is left out: {taken[name_in_set].name} has the same name")
            continue
        taken[name_in_set] = image
        key = _key(image, image.parent if by_index else image_folder)
        frames.append(Frame(name_in_set, image, labels.get(key), instances.get(key)))
    without = [frame for frame in frames if frame.labels is None]
    if conventions.hidden_labels and 0 < len(without) < len(frames):
        notes.append(
            f"{len(without)} of {len(frames)} images have no ground truth on disk (the test "
            f"labels are hidden) and are left out; the other {len(frames) - len(without)} "
            "are the validation set"
        )
        frames = [frame for frame in frames if frame.labels is not None]
    if len(without) == len(taken):
        raise DatasetError(
            f"none of the {len(images)} images in {image_folder} has labels in {label_folder}: "
            f"expected for {images[0].name} one of "
            f"{', '.join(images[0].stem + ending for ending in LABEL_ENDINGS[:3])}; "
            f"found {_listing(label_folder)}"
        )
    used = {frame.labels for frame in frames}
    orphans = [path for path in labels.values() if path not in used]
    if orphans and not conventions.left_out:
        notes.append(f"{len(orphans)} labels have no image, the first is {orphans[0]}")
    mixed = [frame for frame in frames if frame.instances is None]
    if 0 < len(mixed) < len(frames):
        notes.append(
            f"{len(mixed)} of {len(frames)} frames have no instance labels, the first is "
            f"{mixed[0].name}: their instances are the components of the anomaly label"
        )
    return Dataset(name, folder, tuple(frames), conventions, tuple(notes))


def _folders_of(folder: Path) -> tuple[Path, Path] | None:
    """Return the image and label folders of a dataset; None if it is no dataset."""
    for image_name in IMAGE_FOLDERS:
        images = folder / image_name
        if not images.is_dir():
            continue
        for label_name in LABEL_FOLDERS:
            if (folder / label_name).is_dir():
                return images, folder / label_name
    return None


def _no_dataset(folder: Path) -> DatasetError:
    half = [name for name in IMAGE_FOLDERS if (folder / name).is_dir()]
    missing = (
        f"{folder / half[0]} is there, but no folder of labels next to it "
        f"({', '.join(LABEL_FOLDERS[:2])})"
        if half
        else f"no dataset in {folder}"
    )
    return DatasetError(
        f"{missing}. Expected {folder / 'images'}/NAME.jpg with "
        f"{folder / 'labels_masks'}/NAME.png, or folders of that shape such as "
        f"{', '.join(list(KNOWN)[:2])}; found {_listing(folder)}"
    )


def _instances_by_name(folder: Path, label_folder: Path, *, nested: bool) -> dict[str, Path]:
    """Return the instance files: of their own folder, else the Cityscapes ones with the labels."""
    if (folder / INSTANCE_FOLDER).is_dir():
        return _labels_by_name(folder / INSTANCE_FOLDER, INSTANCE_ENDINGS, nested=nested)
    return _labels_by_name(label_folder, INSTANCE_ENDINGS[1:], nested=nested)


def _labels_by_name(folder: Path, endings: Sequence[str], *, nested: bool) -> dict[str, Path]:
    """Return the files with these endings by the key of their image, see `_key`."""
    found: dict[str, Path] = {}
    rank: dict[str, int] = {}
    for path in sorted(files_in(folder, IMAGE_SUFFIXES)):
        # The longest ending: 'a_labels.png' belongs to 'a', not to 'a_labels'.
        fitting = [ending for ending in endings if path.name.endswith(ending)]
        other = ("_color.png", CITYSCAPES_IDS) if endings is LABEL_ENDINGS else "_color.png"
        if not fitting or path.name.endswith(other):
            continue
        ending = max(fitting, key=len)
        name = path.name[: -len(ending)]
        if nested:
            name = (path.parent.relative_to(folder) / name).as_posix()
        else:
            name = FISHYSCAPES_INDEX.sub("", name)
        if name not in found or endings.index(ending) < rank[name]:
            found[name], rank[name] = path, endings.index(ending)
    return found


def _key(image: Path, folder: Path) -> str:
    """Return what names of an image and its labels share: subfolder and name without endings."""
    name = IMAGE_ENDINGS.sub("", image.stem)
    return (image.parent.relative_to(folder) / name).as_posix()


def files_in(folder: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    """Yield the files with these suffixes in a folder and its subfolders, hidden ones left out."""
    return (
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    )


def _listing(folder: Path) -> str:
    entries = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    if not entries:
        return "nothing, the folder is empty"
    more = f" and {len(entries) - 6} more" if len(entries) > 6 else ""
    return ", ".join(entries[:6]) + more
