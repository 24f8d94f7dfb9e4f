from array import array
from pathlib import Path

import numpy as np
import pytest
import yaml
from parameter_trees import flat

pytest.importorskip("rclpy", reason="the node's parameters are tested with rclpy: scripts/env")

from objectomaly_ros.ros.parameters import (
    BY_NAME,
    NAN,
    SPECS,
    cameras,
    checked,
    far_threshold,
    options,
    settings,
    unknown,
    without_effect,
)
from objectomaly_ros.runtime.cadence import CadenceSettings

pytestmark = pytest.mark.ros

CONFIG = Path(__file__).parents[2] / "config"
DEFAULTS = {spec.name: spec.default for spec in SPECS}


def profile(name):
    return dict(flat(yaml.safe_load((CONFIG / name).read_text())["/**"]["ros__parameters"]))


def same(a, b):
    return type(a) is type(b) and (a == b or (a != a and b != b))


def test_the_default_profile_holds_every_parameter_with_its_default():
    values = profile("embedded.yaml")
    assert values.keys() == DEFAULTS.keys()
    assert [name for name in values if not same(values[name], DEFAULTS[name])] == []


def test_every_parameter_is_explained_in_the_default_profile():
    """Above each parameter: its description, then what is allowed, then when it is read."""
    comments, name, explained = [], [], {}
    for line in (CONFIG / "embedded.yaml").read_text().splitlines()[2:]:
        text, depth = line.strip(), (len(line) - len(line.lstrip())) // 2
        if text.startswith("# "):
            comments.append(text[2:])
            continue
        name[depth - 2 :] = [text.partition(":")[0]]
        explained[".".join(name)] = " ".join(comments)
        comments = []
    for spec in SPECS:
        allowed = " | ".join(spec.choices)
        if spec.low is not None:
            allowed = f"{spec.low:g} to {spec.high:g}"
        assert explained[spec.name] == (
            spec.description
            + (f" [{allowed}]" if allowed else "")
            + (" (at start only)" if spec.read_only else "")
        )


def test_the_papers_profile_holds_only_what_differs():
    values = profile("paper.yaml")
    assert values.keys() <= DEFAULTS.keys()
    assert [name for name in values if same(values[name], DEFAULTS[name])] == []
    assert values["masks.overlap"] == "largest"


@pytest.mark.parametrize("name", ["embedded.yaml", "paper.yaml"])
def test_the_profiles_values_are_allowed(name):
    for parameter, value in profile(name).items():
        checked(BY_NAME[parameter], value)


def test_every_default_passes_its_own_check():
    for spec in SPECS:
        assert same(checked(spec, spec.default), spec.default)
        assert spec.description.endswith(".")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("queue_size", 0, "queue_size is 0; allowed is 1 to 100"),
        ("queue_size", 2.5, "queue_size is 2.5; it must be a whole number"),
        ("queue_size", True, "must be a whole number"),
        ("refine.every_n", -1, "refine.every_n is -1; allowed is 0 to"),
        ("refine.period_s", -0.1, "allowed is 0 to 86400"),
        ("refine.propagation", "flaw", "'flaw'; allowed are flow, hold, none"),
        ("image_transport", "theora", "allowed are raw, compressed"),
        ("threshold.high", "high", "threshold.high is 'high'; it must be a number"),
        ("threshold.high", float("inf"), "must be a number"),
        ("mask_value", 255, "allowed is 1 to 254"),
        ("mask_value", 0, "allowed is 1 to 254"),
        ("roi.mode", "lane", "allowed are none, road, polygon"),
        ("roi.polygon", [0.0, 1.0], "at least 3 corners"),
        ("roi.polygon", [0.0, 0.0, 640.0, 0.0, 640.0, 360.0], "fractions"),
        ("roi.polygon", "box", "must be a list of numbers"),
        ("tracking.min_iou", 0.0, "allowed is 0.01 to 1"),
        ("points.camera_height", 0.0, "allowed is 0.01 to 1000"),
        ("camera_names", ["front", "front"], "holds a name twice"),
        ("camera_names", ["front camera"], "letters, digits and _"),
        ("camera_names", "front", "must be a list of texts"),
        ("detector.options", ["input_size"], "'input_size' is not of the form key=value"),
        ("masks.options", ["a b=1"], "not of the form key=value"),
        ("autostart", "yes", "must be true or false"),
    ],
)
def test_wrong_values_are_refused_with_what_is_allowed(name, value, message):
    with pytest.raises(ValueError, match="^(option|" + name.replace(".", r"\.") + ")") as error:
        checked(BY_NAME[name], value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("masks.fade_s", "masks.fade_s has no effect, it was removed: masks.overlap"),
        ("refine.every", "no such parameter; did you mean refine.every_n?"),
        ("exposure", "exposure has no effect, the node has no such parameter"),
    ],
)
def test_an_unknown_parameter_is_told_with_the_nearest_name(name, message):
    assert message in unknown(name)
    assert ("did you mean" in unknown(name)) == ("did you mean" in message)


@pytest.mark.parametrize(
    "name", ["threshold.high", "roi.mode", "points.base_frame", "camera_names", "queue_size"]
)
def test_values_and_names_of_any_length_are_told_in_one_short_line(name):
    value = "\x1b[2J\n " * 100_000
    with pytest.raises(ValueError, match=name) as error:
        checked(BY_NAME[name], [value] if name == "camera_names" else value)
    for text in (str(error.value), unknown(value)):
        assert len(text) < 300
        assert text.isprintable()


def test_whole_numbers_are_numbers():
    value = checked(BY_NAME["threshold.high"], 1)
    assert same(value, 1.0)
    assert checked(BY_NAME["roi.polygon"], [0, 1, 0, 0, 1, 0]) == [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("given", "kept"), [(True, "true"), (False, "false"), ("auto", "auto"), ("true", "true")]
)
def test_a_choice_with_true_and_false_takes_what_yaml_makes_of_them(given, kept):
    assert checked(BY_NAME["camera.rectified"], given) == kept


def test_options_become_typed_keyword_arguments():
    entries = ["input_size=480", "rule=entropy", "fuse=false", "scale=0.5", "", "sizes=[1, 2]"]
    assert options(entries) == {
        "input_size": 480,
        "rule": "entropy",
        "fuse": False,
        "scale": 0.5,
        "sizes": [1, 2],
    }
    assert options(["path=/a/b=c"]) == {"path": "/a/b=c"}
    assert options([""]) == {}


@pytest.mark.parametrize("text", ["[" * 20_000, "[&a [1], *a]", "{[1]: 2}", "x" * 70_000])
def test_an_option_that_is_no_plain_value_is_refused_by_its_name(text):
    with pytest.raises(ValueError, match=r"option 'sizes="):
        options([f"sizes={text}"])


def test_no_names_mean_one_camera_without_a_name():
    assert cameras([""]) == ("",)
    assert cameras(["front", "left"]) == ("front", "left")


def test_settings_follow_the_parameters():
    values = {**DEFAULTS, "refine.period_s": 2.0, "threshold.low": 0.2, "roi.mode": "polygon"}
    made = settings(values, detector_threshold=0.6)
    assert made.cadence == CadenceSettings(DEFAULTS["refine.every_n"], 2.0)
    assert (made.obstacles.high, made.obstacles.low) == (0.6, 0.2)
    assert made.obstacles.roi == "polygon"
    assert settings({**values, "threshold.high": 0.9}, 0.6).obstacles.high == 0.9


def test_without_any_threshold_there_is_no_scene():
    assert settings(DEFAULTS, None).obstacles is None


def test_a_low_threshold_above_the_high_one_is_refused():
    values = {**DEFAULTS, "threshold.low": 0.7}
    with pytest.raises(ValueError, match=r"threshold.low is 0.7; it must not be above .* 0.6"):
        settings(values, 0.6)


def test_a_threshold_of_zero_is_a_threshold():
    assert settings({**DEFAULTS, "threshold.high": 0.0}, None).obstacles.high == 0.0
    assert settings(DEFAULTS, np.float32(0.0)).obstacles.high == 0.0


@pytest.mark.parametrize("empty", [None, [], (), array("d"), array("b")])
def test_an_empty_list_of_a_parameter_file_is_none_given(empty):
    for name in ("camera_names", "detector.options", "masks.options", "roi.polygon"):
        assert checked(BY_NAME[name], empty) == DEFAULTS[name]


def test_a_parameter_without_a_value_is_told_so():
    with pytest.raises(ValueError, match=r"min_area has no value; it must be a whole number"):
        checked(BY_NAME["min_area"], None)


@pytest.mark.parametrize(
    ("parameter", "value", "seen", "own", "told"),
    [
        ("threshold.high", 7.0, (0.01, 0.98), 0.5, "no pixel is above it"),
        ("threshold.high", 7.0, (0.01, 0.98), None, "no pixel is above it"),
        ("threshold.low", -40.0, (-3.0, 2.0), None, "every pixel is above it"),
        ("threshold.high", 0.9, (0.0, 0.05), 0.5, None),
        ("threshold.high", 7.0, (-3.0, 2.0), None, None),
        ("threshold.high", NAN, (0.0, 1.0), 0.5, None),
        ("threshold.high", 7.0, (0.0, 0.0), None, None),
    ],
)
def test_a_threshold_far_outside_the_scores_is_told(parameter, value, seen, own, told):
    text = far_threshold({**DEFAULTS, parameter: value}, seen, own)
    if told is None:
        assert text is None
    else:
        assert text.startswith(f"{parameter} is {value:g}, but scores so far were {seen[0]:.3g} to")
        assert text.endswith(told)


@pytest.mark.parametrize("frame", ["", "/base", "base link", "a\nb", "\x1b[2J", "base\u202e"])
def test_a_frame_that_tf_cannot_have_is_refused(frame):
    with pytest.raises(ValueError, match=r"points\.base_frame is "):
        checked(BY_NAME["points.base_frame"], frame)
    assert checked(BY_NAME["points.base_frame"], "robot/base_link") == "robot/base_link"


@pytest.mark.parametrize(
    ("sections", "applies"),
    [
        (["/**"], True),
        (["/car/objectomaly"], True),
        (["car/objectomaly"], True),
        (["/**/objectomaly"], True),
        (["/*/objectomaly"], True),
        (["/car/*"], True),
        (["other", "/**"], True),
        (["objectomaly"], False),
        (["/*"], False),
        (["/car/objectomaly_2", "/bus/objectomaly"], False),
        ([], False),
    ],
)
def test_a_file_without_a_section_for_the_node_is_told(sections, applies):
    text = yaml.safe_dump({name: {"ros__parameters": {"min_area": 7}} for name in sections})
    told = without_effect(text, "/car/objectomaly")
    assert (told is None) == applies
    if not applies:
        assert told.startswith("sets no parameter of /car/objectomaly: its sections are ")
        assert told.endswith("name one /car/objectomaly or /**")


def test_nested_sections_are_namespaces():
    text = "car: {objectomaly: {ros__parameters: {min_area: 7}}}"
    assert without_effect(text, "/car/objectomaly") is None
    assert "its sections are /car/objectomaly;" in without_effect(text, "/objectomaly")


def test_more_cameras_than_a_process_can_serve_are_refused():
    with pytest.raises(ValueError, match="camera_names holds 100000 names; at most 256"):
        checked(BY_NAME["camera_names"], [f"c{number}" for number in range(100_000)])
