"""Options as the node's parameters and the command line give them: one parser, checked types."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from objectomaly_ros.detectors import load_detector
from objectomaly_ros.evaluation.model_spec import ModelSpec
from objectomaly_ros.masks import load_mask_generator
from objectomaly_ros.masks.sam.loading import check_generator_options
from objectomaly_ros.models.options import check_types, parse_option
from objectomaly_ros.ros.parameters import options as node_options


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8e-1", 0.8),
        ("1E3", 1000.0),
        ("-.5", -0.5),
        ("2.", 2.0),
        ("480", 480),
        ("007", 7),
        ("true", True),
        ("False", False),
        ("null", None),
        ("", None),
        ("[1, 8e-1]", [1, 0.8]),
        ("[480, 640]", [480, 640]),
        ("{a: 1e-2}", {"a": 0.01}),
        ("energy", "energy"),
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("2001-01-01", "2001-01-01"),
        ("a: b", "a: b"),
        ("/models/net#2.onnx", "/models/net#2.onnx"),
        ('"5"', "5"),
        ("nan", "nan"),
    ],
)
def test_the_node_and_the_command_read_an_option_alike(text, value):
    read = parse_option(f"key={text}")[1]
    assert (type(read), read) == (type(value), value)
    assert node_options([f"key={text}"]) == {"key": value}
    assert ModelSpec.parse(f"regions,key={text}").options == {"key": value}


@pytest.mark.parametrize(
    "entry",
    ["x", "=1", "a b=1", "1=2", "a=[1", "a=[&b [1], *b]", f"a={'[' * 9999}", "a='", "a=1e400"],
)
def test_what_is_no_option_is_refused_by_its_name(entry):
    with pytest.raises(ValueError, match=r"^option "):
        parse_option(entry)


def annotated(
    checkpoint: str | None = None,
    *,
    sigma: float = 0.8,
    count: int | None = None,
    flip: bool = False,
    sizes: int | Sequence[int] | Literal["published"] = "published",
    extend: str | Path = "",
    anything: object = None,
) -> None:
    pass


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sigma": "8e-1x"}, "own: option sigma is '8e-1x'; want a number"),
        ({"sigma": True}, "option sigma is True; want a number"),
        ({"sigma": None}, "option sigma is None; want a number"),
        ({"count": 2.5}, "option count is 2.5; want a whole number or null"),
        ({"flip": "yes"}, "option flip is 'yes'; want true or false"),
        ({"flip": 1}, "option flip is 1; want true or false"),
        ({"sizes": [1, "b"]}, "want a whole number or a list of whole numbers or a text"),
        ({"sizes": {}}, "option sizes is {}"),
        ({"extend": 5}, "option extend is 5; want a text"),
    ],
)
def test_a_wrong_type_names_the_option_the_value_and_what_is_wanted(options, told):
    with pytest.raises(TypeError) as error:
        check_types("own", options, partial(annotated, None))
    assert told in str(error.value)


def test_right_types_pass():
    check_types("own", {"sigma": 1, "count": None, "flip": True, "sizes": [1, 2]}, annotated)
    check_types("own", {"sizes": "published", "extend": Path("a"), "anything": {}}, annotated)
    check_types("own", {"other": 3}, annotated, type, partial(print))


class Unannotated:
    def __init__(self, gain=1.0, name="x", mode=None):
        pass


def test_without_annotations_a_text_is_not_taken_for_a_number():
    with pytest.raises(TypeError, match="own: option gain is 'high'; want a number"):
        check_types("own", {"gain": "high"}, Unannotated)
    check_types("own", {"gain": [1, 2], "name": 5, "mode": "a"}, Unannotated)


def test_the_models_of_the_package_refuse_wrong_types_before_anything_is_loaded():
    with pytest.raises(TypeError, match="regions: option sigma is 'wide'; want a number"):
        load_mask_generator("regions", sigma="wide")
    with pytest.raises(TypeError, match="embedded: option input_size is 'large'; want a whole"):
        load_detector("embedded", input_size="large")
    with pytest.raises(
        TypeError, match=r"sam: option points_per_side is 2\.5; want a whole number"
    ):
        check_generator_options("sam", {"points_per_side": 2.5})
    assert math.isclose(load_mask_generator("regions", **node_options(["sigma=8e-1"])).sigma, 0.8)
