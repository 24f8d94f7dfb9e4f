"""Names, defaults, ranges and meanings of the node's parameters. Imports no rclpy."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeGuard

from objectomaly_ros.files.picture_size import MAX_PIXELS
from objectomaly_ros.files.reading import parse_yaml, printable
from objectomaly_ros.models.options import parse_option
from objectomaly_ros.obstacles.false_alarms import MIN_AREA
from objectomaly_ros.obstacles.roi import polygon_roi
from objectomaly_ros.obstacles.stage import ObstacleSettings
from objectomaly_ros.runtime.cadence import CadenceSettings
from objectomaly_ros.runtime.interface import Settings

Value: TypeAlias = bool | int | float | str | list[str] | list[float]

NAN = float("nan")
UNSET = [""]  # an empty list of a ROS parameter has no type


@dataclass(frozen=True)
class Spec:
    """One parameter.

    Attributes:
        default: also gives the type.
        description: for `ros2 param describe` and config/embedded.yaml.
        low, high: inclusive limits of a number.
        choices: allowed texts.
        read_only: read at start only.
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
    Spec("camera_names", UNSET, "Names of the cameras: topics become NAME/image and ~/NAME/score. "
         "Empty for one camera without a name.", read_only=True),
    Spec("image_transport", "raw", "raw for sensor_msgs/Image; compressed for sensor_msgs/"
         "CompressedImage on the image topic with /compressed.",
         choices=("raw", "compressed"), read_only=True),
    Spec("queue_size", 4, "Images of a camera that may wait for the detector; a further one "
         "replaces the oldest.", 1, 100, read_only=True),
    Spec("max_pixels", MAX_PIXELS, "Images and score maps with more pixels are refused undecoded.",
         1, 1_000_000_000, read_only=True),
    Spec("device", "auto", "Device of detector and masks: cpu, cuda, cuda:1, or auto for CUDA if "
         "present.", read_only=True),
    Spec("detector.name", "embedded", "Detector: embedded, mask2anomaly, rba, uno, eam, maskomaly, "
         "rpl, semantic, detectron2, precomputed, or module:Class of your own.", read_only=True),
    Spec("detector.checkpoint", "", "Path of the detector's weights; empty for built-in ones. "
         "Without a path, precomputed takes the score maps of another node from the topic "
         "score_in: 32FC1, with the stamps of the images.", read_only=True),
    Spec("detector.options", UNSET, "Options of the detector, each 'key=value': input_size=480 "
         "(short side; also [height, width], published or null), flip=true, precision=float16, "
         "compiled=true (torch.compile), rule=energy, memory=FILE (of `objectomaly learn`) and "
         "others.", read_only=True),
    Spec("detector.memory_out", "", "Path of the file in which ~/learn keeps the memory; empty to "
         "keep it until the node is cleaned up."),
    Spec("detector.keep_up", True, "Make the detector quicker (embedded: a smaller input) if "
         "images are dropped for 3 s, until the node is activated again."),
    Spec("masks.name", "regions", "Mask generator: regions, sam_vit_h, sam_vit_l, sam_vit_b, "
         "mobile_sam, edgetam, sam2_hiera_*, module:Class of your own, or none for coarse scores "
         "only.", read_only=True),
    Spec("masks.checkpoint", "", "Path of the mask generator's weights; empty if it needs none.",
         read_only=True),
    Spec("masks.options", UNSET, "Options of the mask generator, each 'key=value'.",
         read_only=True),
    Spec("masks.overlap", "auto", "Mean that a pixel under several masks takes: of the largest "
         "mask (as in the paper), of the smallest, or auto as the mask generator recommends.",
         choices=("auto", "largest", "smallest"), read_only=True),
    Spec("refine.every_n", 10, "Generate masks on every n-th image; 0 for never.", 0, 100000),
    Spec("refine.period_s", 0.0, "Seconds of image time between mask generations; above 0 it "
         "replaces refine.every_n.", 0.0, 86400.0),
    Spec("refine.propagation", "flow", "Masks between generations: flow follows the image, hold "
         "keeps them in place, none refines one image only.", choices=("flow", "hold", "none")),
    Spec("refine.max_age_s", 2.0, "Largest age of masks that refine, in seconds of image time; "
         "scores stay coarse until newer masks are ready.", 0.0, 3600.0),
    Spec("threshold.high", NAN, "At least one pixel of an obstacle has a score above this; .nan "
         "for the detector's own threshold."),
    Spec("threshold.low", NAN, "All pixels of an obstacle have a score above this; .nan for "
         "threshold.high."),
    Spec("min_area", MIN_AREA, "Area of the smallest obstacle, in pixels.", 0, 100000000),
    Spec("roi.mode", "road", "Region of the image in which obstacles count: none for all, road as "
         "the detector segments it (all if it does not), or polygon.",
         choices=("none", "road", "polygon")),
    Spec("roi.polygon", [0.0, 1.0, 0.4, 0.5, 0.6, 0.5, 1.0, 1.0], "Corners x, y of the polygon as "
         "fractions of the image's width and height."),
    Spec("mask_value", 1, "Value of obstacle pixels in ~/mask; 0 is free and 255 is ignore.",
         1, 254),
    Spec("tracking.min_iou", 0.2, "Smallest intersection over union of boxes in two images that "
         "are the same obstacle.", 0.01, 1.0),
    Spec("tracking.max_missed", 5, "Number of images over which an unseen obstacle keeps its id.",
         0, 1000),
    Spec("camera.rectified", "auto", "Whether the images are rectified: true for P of camera_info "
         "without D, false for K and D, or auto by the images' name (image_rect...), D and P.",
         choices=("auto", "true", "false")),
    Spec("depth.use", False, "Place obstacles by the depth image on the topic depth: 16UC1 in mm "
         "or 32FC1 in m, aligned to the image.", read_only=True),
    Spec("points.base_frame", "auto", "Frame of ~/points: x forward, y left, z up, ground at "
         "z = 0; auto for base_footprint if TF knows it, else base_link."),
    Spec("points.camera_height", 1.5, "Metres from the ground to the camera; TF comes first.",
         0.01, 1000.0),
    Spec("points.camera_pitch", 0.0, "Radians that the camera looks down; TF comes first.",
         -1.6, 1.6),
    Spec("points.camera_roll", 0.0, "Radians that the camera leans to the right; TF comes first.",
         -3.2, 3.2),
    Spec("points.max_range", 60.0, "Largest distance of ground points, in metres.", 0.1, 1000.0),
    Spec("points.max_relative_error", 0.3, "Largest standard deviation of a point's range, as a "
         "share of its distance; points nearer to the horizon are left out.", 0.01, 10.0),
    Spec("points.height_std", 0.03, "Standard deviation of the camera's height above the ground, "
         "in metres.", 0.0, 10.0),
    Spec("points.pitch_std", 0.005, "Standard deviation of the camera's pitch against the ground, "
         "in radians: sway, slope and mounting.", 0.0, 1.0),
    Spec("points.pixel_std", 1.0, "Standard deviation of the row of a contact pixel, in pixels.",
         0.0, 100.0),
    Spec("points.height", 1.0, "Metres up to which ~/points shows an obstacle.", 0.1, 20.0),
    Spec("scan.frame", "", "Frame of ~/scan and ~/free, level, known to TF; empty for "
         "points.base_frame. Bearings are measured from its origin."),
    Spec("scan.angle_increment", 0.005, "Radians between two beams of ~/scan and ~/free.",
         0.001, 0.1),
    Spec("scan.range_min", 0.1, "Metres from the origin of scan.frame at which the road must begin "
         "to be seen free: set it to the end of a bonnet in the image.", 0.01, 100.0),
    Spec("scan.range_max", 30.0, "Metres up to which the road must be seen free to be free in "
         "~/scan; larger ranges are left out.", 0.5, 1000.0),
    Spec("scan.inf_is_valid", False, "Free road in ~/scan is +inf; else scan.range_max - 0.01, "
         "since Nav2's costmaps ignore +inf by default."),
)  # fmt: skip

BY_NAME: Mapping[str, Spec] = {spec.name: spec for spec in SPECS}

_MAX_CAMERAS = 256
_SHOWN = 100  # characters of a wrong value or name in a message
_MAX_FILE = 2**20  # characters of a parameter file

FAR = 3.0
"""A threshold is far outside the scores seen by so many times their range."""

REMOVED = ("masks.residual", "masks.fade_s", "masks.memory_s")

_KINDS = {
    bool: ("true or false", ""),
    int: ("a whole number", ""),
    float: ("a number", "a list of numbers"),
    str: ("a text", "a list of texts"),
}


def unknown(name: str) -> str:
    """Describe a parameter that a parameter file sets and the node does not have."""
    if name in REMOVED:
        return f"{name} has no effect, it was removed: masks.overlap alone chooses the rule"
    name = printable(" ".join(name[:_SHOWN].split()))
    near = difflib.get_close_matches(name, BY_NAME, n=1)
    return f"{name} has no effect, the node has no such parameter" + (
        f"; did you mean {near[0]}?" if near else ""
    )


def without_effect(text: str, node: str) -> str | None:
    """Describe a parameter file that has no section for a node; None if it has one.

    Args:
        text: of the file, which ROS has accepted.
        node: fully qualified name.
    """
    sections = [*_sections(parse_yaml(text, _MAX_FILE), "")]
    if any(re.fullmatch(_pattern(section), node) for section in sections):
        return None
    found = ", ".join(sections) or "none"
    return f"sets no parameter of {node}: its sections are {found}; name one {node} or /**"


def _sections(tree: Any, above: str) -> Iterator[str]:
    for key, value in tree.items() if isinstance(tree, dict) else ():
        if key == "ros__parameters":
            yield above or "/"
        else:
            yield from _sections(value, f"{above}/{str(key).lstrip('/')}")


def _pattern(section: str) -> str:
    """Make a regular expression of a section: * is one part of a name, ** are any."""
    parts = {"**": r"(/[^/]+)*", "*": r"/[^/]+"}
    return "".join(parts.get(part, "/" + re.escape(part)) for part in section.split("/")[1:])


def checked(spec: Spec, value: object) -> Value:
    """Return `value` as the parameter's type.

    Raises:
        ValueError: its type is wrong or it is not allowed; the message says what is allowed.
    """
    # An empty list is none given. ROS gives it any type, or none.
    if isinstance(spec.default, list) and (value is None or (_is_list(value) and not value)):
        return spec.default
    value = _typed(spec, value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = spec.low, spec.high
        if low is not None and high is not None and not low <= value <= high:
            raise ValueError(f"{spec.name} is {value}; allowed is {low:g} to {high:g}")
    if spec.choices and value not in spec.choices:
        raise ValueError(f"{spec.name} is {_shown(value)}; allowed are {', '.join(spec.choices)}")
    if spec.name == "roi.polygon":
        try:
            polygon_roi(value, (10, 10))
        except ValueError as error:
            raise ValueError(f"roi.polygon: {error}") from error
    if spec.name == "camera_names":
        _check_camera_names(cameras(value))
    if spec.name == "points.base_frame" or (spec.name == "scan.frame" and value):
        _check_frame(spec.name, str(value))
    if spec.name.endswith(".options"):
        options(value)
    return value


def _shown(value: object) -> str:
    return repr(value)[:_SHOWN]


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _typed(spec: Spec, value: Any) -> Value:
    default: Any = spec.default
    if isinstance(default, list):
        kind, (_, wanted) = type(default[0]), _KINDS[type(default[0])]
        if _is_list(value) and all(_is(kind, item) for item in value):
            return [kind(item) for item in value]
    else:
        kind, (wanted, _) = type(default), _KINDS[type(default)]
        if kind is str and type(value) is bool and "true" in spec.choices:
            return str(value).lower()  # YAML reads true as no text
        if _is(kind, value):
            return kind(value)  # type: ignore[no-any-return]
    given = "has no value" if value is None else f"is {_shown(value)}"
    raise ValueError(f"{spec.name} {given}; it must be {wanted}")


def _is(kind: type, value: Any) -> bool:
    if kind is float:
        return type(value) in (int, float) and not math.isinf(value)
    return type(value) is kind


def cameras(names: object) -> tuple[str, ...]:
    """Return the names of the cameras; ("",) for one camera without a name."""
    assert isinstance(names, list)
    return tuple(name for name in names if name) or ("",)


def _check_frame(parameter: str, name: str) -> None:
    if not re.fullmatch(r"[^/\s]\S*", name) or not name.isprintable():
        raise ValueError(
            f"{parameter} is {_shown(name)}; it must be the name of a frame, without a slash "
            "at its beginning and without spaces"
        )


def _check_camera_names(names: Sequence[str]) -> None:
    if len(names) > _MAX_CAMERAS:
        raise ValueError(f"camera_names holds {len(names)} names; at most {_MAX_CAMERAS} can work")
    for name in names:
        if name and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*", name):
            raise ValueError(
                f"camera_names holds {_shown(name)}; a name becomes part of topics: letters, "
                "digits and _, a letter first"
            )
    if len(set(names)) != len(names):
        raise ValueError(f"camera_names holds a name twice: {', '.join(names)}")


def options(entries: object) -> dict[str, Any]:
    """Make keyword arguments of 'key=value' texts; see `parse_option`.

    Raises:
        ValueError: an entry has another form.
    """
    assert isinstance(entries, list)
    return dict(parse_option(entry) for entry in entries if entry)


def high_threshold(values: Mapping[str, Any], detector_threshold: float | None) -> float | None:
    """Return the threshold of obstacles; None if neither the parameter nor the detector has one."""
    high: float = values["threshold.high"]
    return detector_threshold if math.isnan(high) else high


def far_threshold(
    values: Mapping[str, Any], seen: tuple[float, float], detector_threshold: float | None
) -> str | None:
    """Describe a threshold far outside the scores seen; None if there is none.

    Args:
        values: by parameter name.
        seen: smallest and largest score so far.
        detector_threshold: of the detector itself; it counts as seen.
    """
    known = (*seen, *(() if detector_threshold is None else (detector_threshold,)))
    low, high = min(known), max(known)
    for name in ("threshold.high", "threshold.low"):
        value = values[name]
        if max(value - high, low - value) > FAR * (high - low) > 0:
            share = "no pixel" if value > high else "every pixel"
            return (
                f"{name} is {value:g}, but scores so far were {seen[0]:.3g} to {seen[1]:.3g}: "
                f"{share} is above it"
            )
    return None


def settings(values: Mapping[str, Any], detector_threshold: float | None) -> Settings:
    """Make the engine's settings of the checked values of all parameters.

    Args:
        values: by parameter name.
        detector_threshold: replaces a `threshold.high` of NaN.

    Raises:
        ValueError: parameters contradict each other.
    """
    high, low = high_threshold(values, detector_threshold), values["threshold.low"]
    if high is not None and not math.isnan(low) and low > high:
        raise ValueError(
            f"threshold.low is {low}; it must not be above threshold.high, which is {high}"
        )
    if values["scan.range_min"] >= values["scan.range_max"]:
        raise ValueError(
            f"scan.range_min is {values['scan.range_min']}; it must be below scan.range_max, which "
            f"is {values['scan.range_max']}"
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
        values["detector.keep_up"],
    )
