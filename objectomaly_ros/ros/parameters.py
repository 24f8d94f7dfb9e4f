"""The node's parameters: names, defaults, ranges, and what they mean. No rclpy in here."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from objectomaly_ros.files.picture_size import MAX_PIXELS
from objectomaly_ros.obstacles.roi import polygon_roi
from objectomaly_ros.obstacles.stage import ObstacleSettings
from objectomaly_ros.runtime.cadence import CadenceSettings
from objectomaly_ros.runtime.interface import Settings

Value: TypeAlias = bool | int | float | str | list[str] | list[float]

NAN = float("nan")
UNSET = [""]  # ROS parameters know no empty list of a type


@dataclass(frozen=True)
class Spec:
    """One parameter.

    Attributes:
        name: with its dots.
        default: its type is the parameter's.
        description: one sentence for `ros2 param describe` and the parameter files.
        low, high: limits of a number, inclusive.
        choices: the words that a text may be.
        read_only: read at start only (`read_only`).
    """

    name: str
    default: Value
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    read_only: bool = False


SPECS: tuple[Spec, ...] = (
    Spec("autostart", True, "Configure and activate at start, without a lifecycle manager.",
         read_only=True),
    Spec("camera_names", UNSET, "Names of the cameras; topics become NAME/image and ~/NAME/score. "
         "Empty for one camera without a name.", read_only=True),
    Spec("image_transport", "raw", "raw: sensor_msgs/Image; compressed: sensor_msgs/"
         "CompressedImage on the image's topic with /compressed.",
         choices=("raw", "compressed"), read_only=True),
    Spec("queue_size", 4, "Images of one camera that may wait for the detector; beyond it the "
         "oldest is dropped.", 1, 100, read_only=True),
    Spec("max_pixels", MAX_PIXELS, "Larger images and score maps are refused before they take "
         "memory.", 1, 1_000_000_000, read_only=True),
    Spec("device", "auto", "Where detector and masks compute: cpu, cuda, cuda:1, or auto for CUDA "
         "where there is one.", read_only=True),
    Spec("detector.name", "embedded", "The detector: embedded, mask2anomaly, rba, uno, eam, "
         "maskomaly, rpl, semantic, detectron2, precomputed, or module:Class for one of your own.",
         read_only=True),
    Spec("detector.checkpoint", "", "Path of its weights; empty for those that it brings along. "
         "Left empty with precomputed, score maps of another node come on the topic score_in: "
         "32FC1, with the stamps of the images.", read_only=True),
    Spec("detector.options", UNSET, "Further options of the detector, each as 'key=value': "
         "input_size=480 (short side; also [height, width], published or null), flip=true, "
         "precision=float16, compiled=true (torch.compile), rule=energy, and what else it takes.",
         read_only=True),
    Spec("masks.name", "regions", "The mask generator, module:Class for one of your own, or none "
         "for coarse scores only.", read_only=True),
    Spec("masks.checkpoint", "", "Path of its weights; empty where it needs none.", read_only=True),
    Spec("masks.options", UNSET, "Further options of the mask generator, each as 'key=value'.",
         read_only=True),
    Spec("masks.overlap", "auto", "Mean that a pixel under several masks takes: of the largest "
         "mask (the paper's form), of the smallest, or auto for what suits the mask generator.",
         choices=("auto", "largest", "smallest"), read_only=True),
    Spec("refine.every_n", 10, "Generate masks on every n-th image; 0 for never.", 0, 100000),
    Spec("refine.period_s", 0.0, "Seconds of image time between mask generations; above 0 it "
         "takes the place of refine.every_n.", 0.0, 86400.0),
    Spec("refine.propagation", "flow", "What masks do between generations: follow the image by "
         "optical flow, hold still, or none: refine one image only.",
         choices=("flow", "hold", "none")),
    Spec("refine.max_age_s", 2.0, "Seconds of image time after which masks are too old to refine, "
         "and scores stay coarse until newer ones are ready.", 0.0, 3600.0),
    Spec("threshold.high", NAN, "A region is an obstacle if a pixel's score is above this; .nan "
         "for the detector's own threshold."),
    Spec("threshold.low", NAN, "An obstacle's other pixels have a score above this; .nan for the "
         "same as threshold.high."),
    Spec("min_area", 50, "Obstacles with fewer pixels are left out.", 0, 100000000),
    Spec("roi.mode", "road", "Where obstacles must stand: none for anywhere, road as the detector "
         "sees it (anywhere with a detector that sees none), or polygon.",
         choices=("none", "road", "polygon")),
    Spec("roi.polygon", [0.0, 1.0, 0.4, 0.5, 0.6, 0.5, 1.0, 1.0], "Corners x, y of the polygon as "
         "fractions of the image's width and height."),
    Spec("mask_value", 1, "Value of obstacle pixels in ~/mask; 0 is free and 255 is ignore.",
         1, 254),
    Spec("tracking.min_iou", 0.2, "Boxes of two images are the same obstacle from this overlap "
         "(intersection over union) on.", 0.01, 1.0),
    Spec("tracking.max_missed", 5, "An obstacle keeps its id over this many images without it.",
         0, 1000),
    Spec("points.base_frame", "base_link", "Frame of ~/points: x forward, y left, z up, ground at "
         "z = 0."),
    Spec("points.camera_height", 1.5, "Metres from the ground to the camera, used where TF does "
         "not tell.", 0.01, 1000.0),
    Spec("points.camera_pitch", 0.0, "Radians that the camera looks down.", -1.6, 1.6),
    Spec("points.camera_roll", 0.0, "Radians that the camera leans to the right.", -3.2, 3.2),
    Spec("points.max_range", 60.0, "Metres; contact points farther away are left out.",
         0.1, 1000.0),
)  # fmt: skip

BY_NAME: Mapping[str, Spec] = {spec.name: spec for spec in SPECS}

REMOVED = dict.fromkeys(
    ("masks.residual", "masks.fade_s", "masks.memory_s"), "masks.overlap alone chooses the rule"
)
"""Parameters of earlier versions, and what to know about them."""


def unknown(name: str) -> str:
    """Say that a parameter file sets a parameter which the node does not have."""
    if name in REMOVED:
        return f"{name} has no effect, it was removed: {REMOVED[name]}"
    near = difflib.get_close_matches(name, BY_NAME, n=1)
    return f"{name} has no effect, the node has no such parameter" + (
        f"; did you mean {near[0]}?" if near else ""
    )


def checked(spec: Spec, value: object) -> Value:
    """Return `value` as the parameter's type.

    Raises:
        ValueError: it is of another type or outside the limits; the message says which are allowed.
    """
    value = _typed(spec, value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = spec.low, spec.high
        if low is not None and high is not None and not low <= value <= high:
            raise ValueError(f"{spec.name} is {value}; allowed is {low:g} to {high:g}")
    if spec.choices and value not in spec.choices:
        raise ValueError(f"{spec.name} is {value!r}; allowed are {', '.join(spec.choices)}")
    if spec.name == "roi.polygon":
        try:
            polygon_roi(value, (10, 10))
        except ValueError as error:
            raise ValueError(f"roi.polygon: {error}") from error
    if spec.name == "camera_names":
        _check_camera_names(cameras(value))
    if spec.name.endswith(".options"):
        options(value)
    return value


def _typed(spec: Spec, value: object) -> Value:
    default = spec.default
    kind = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}.get(
        type(default), "a list"
    )
    right: bool
    if isinstance(default, list):
        kind = "a list of texts" if isinstance(default[0], str) else "a list of numbers"
        if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
            right = False
        elif isinstance(default[0], str):
            right = all(isinstance(item, str) for item in value)
            value = list(value)
        else:
            right = all(type(item) in (int, float) for item in value)
            value = [float(item) for item in value] if right else value
    elif isinstance(default, float):
        right = type(value) in (int, float) and not math.isinf(value)  # type: ignore[arg-type]
        value = float(value) if right else value  # type: ignore[arg-type]
    else:
        right = type(value) is type(default)
    if not right:
        raise ValueError(f"{spec.name} is {value!r}; it must be {kind}")
    return value  # type: ignore[return-value]


def cameras(names: object) -> tuple[str, ...]:
    """The cameras' names; one without a name where the parameter is left empty."""
    assert isinstance(names, list)
    return tuple(name for name in names if name) or ("",)


def _check_camera_names(names: Sequence[str]) -> None:
    for name in names:
        if name and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*", name):
            raise ValueError(
                f"camera_names holds {name!r}; a name becomes part of topics: letters, digits and "
                "_, a letter first"
            )
    if len(set(names)) != len(names):
        raise ValueError(f"camera_names holds a name twice: {', '.join(names)}")


def options(entries: object) -> dict[str, Any]:
    """Make keyword arguments of 'key=value' texts; values are read as YAML reads them.

    Raises:
        ValueError: an entry is not of that form.
    """
    assert isinstance(entries, list)
    result: dict[str, Any] = {}
    for entry in entries:
        if not entry:
            continue
        key, equals, text = entry.partition("=")
        if not equals or not key.strip().isidentifier():
            raise ValueError(f"option {entry!r} is not of the form key=value")
        try:
            result[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f"option {entry!r}: {text!r} cannot be read") from error
    return result


def settings(values: Mapping[str, Any], detector_threshold: float | None) -> Settings:
    """What the engine is to do with these parameters.

    Args:
        values: of all parameters, checked.
        detector_threshold: what `threshold.high` stands for where it is not set.

    Raises:
        ValueError: parameters contradict each other.
    """
    high, low = values["threshold.high"], values["threshold.low"]
    if math.isnan(high):
        high = detector_threshold
    if high is not None and not math.isnan(low) and low > high:
        raise ValueError(
            f"threshold.low is {low}; it must not be above threshold.high, which is {high}"
        )
    obstacles = None
    if high is not None:
        obstacles = ObstacleSettings(
            high=high,
            low=None if math.isnan(low) else low,
            min_area=values["min_area"],
            roi=values["roi.mode"],
            polygon=tuple(values["roi.polygon"]),
            min_iou=values["tracking.min_iou"],
            max_missed=values["tracking.max_missed"],
        )
    return Settings(
        CadenceSettings(values["refine.every_n"], values["refine.period_s"]),
        values["refine.propagation"],
        obstacles,
        values["refine.max_age_s"],
    )
