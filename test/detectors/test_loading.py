"""Loading detectors by name, and running them."""

from __future__ import annotations

import numpy as np
import pytest

from objectomaly_ros.detectors import DETECTORS, detect, load_detector
from objectomaly_ros.models.registry import find_constructor
from objectomaly_ros.types import Detection, Image, ScoreMap


class Brightness:
    """A user's detector: scores brightness."""

    def __init__(self, checkpoint: object = None, device: str = "cpu", *, gain: float = 1) -> None:
        self.checkpoint, self.device, self.gain = checkpoint, device, gain

    def score(self, image: Image) -> ScoreMap:
        return (image.mean(axis=2) * self.gain).astype(np.float32)


class WithRoad(Brightness):
    def detect(self, image: Image) -> Detection:
        return Detection(self.score(image), np.ones(image.shape[:2], np.bool_))


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(__import__("sys").modules, "users_detectors", _module())
    return "users_detectors"


def _module() -> object:
    import types

    module = types.ModuleType("users_detectors")
    module.Brightness, module.NoScore = Brightness, lambda checkpoint, device: object()
    return module


IMAGE = np.full((4, 6, 3), 10, np.uint8)


def test_embedded_is_known_and_loads() -> None:
    detector = load_detector("embedded")
    assert detector.score(np.zeros((48, 64, 3), np.uint8)).shape == (48, 64)


def test_every_named_detector_has_a_constructor() -> None:
    for name in DETECTORS:
        assert callable(find_constructor("detector", name, DETECTORS)), name


def test_users_own_detector_gets_checkpoint_device_and_options(importable: str) -> None:
    detector = load_detector(f"{importable}:Brightness", "my.pt", "cuda:1", gain=2.0)
    assert isinstance(detector, Brightness)
    assert (detector.checkpoint, detector.device, detector.gain) == ("my.pt", "cuda:1", 2.0)
    np.testing.assert_array_equal(detector.score(IMAGE), 20)


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"'embeded'.*known: .*embedded.*module:Class"):
        load_detector("embeded")


def test_missing_module_and_class(importable: str) -> None:
    with pytest.raises(ImportError, match="nowhere_at_all"):
        load_detector("nowhere_at_all:Class")
    with pytest.raises(ImportError, match="'Absent'"):
        load_detector(f"{importable}:Absent")


def test_detector_without_score_is_refused(importable: str) -> None:
    with pytest.raises(TypeError, match="score"):
        load_detector(f"{importable}:NoScore")


def test_unknown_option_is_refused_and_the_known_are_listed(importable: str) -> None:
    with pytest.raises(TypeError, match=r"embedded has no option colour; it has .*input_size"):
        load_detector("embedded", colour="red")
    with pytest.raises(TypeError, match=r"rba has no option colour; .*flip, input_size, precision"):
        load_detector("rba", "there_is_no_such_file.pth", colour="red")
    with pytest.raises(TypeError, match=r"Brightness has no option colour; it has gain$"):
        load_detector(f"{importable}:Brightness", colour="red")


def test_an_option_that_is_needed_is_named() -> None:
    with pytest.raises(TypeError, match="detectron2 needs the option config"):
        load_detector("detectron2", "weights.pkl")


@pytest.mark.parametrize("name", ["mask2anomaly", "rba", "uno", "eam", "maskomaly", "rpl"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": "cuda:99"}, "cuda:99"),
        ({"precision": "int3"}, "int3"),
        ({"input_size": "large"}, "large"),
    ],
)
def test_wrong_options_are_told_before_the_file_is_read(
    name: str, options: dict[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        load_detector(name, "there_is_no_such_file.pth", **options)


def test_detect_uses_score_where_there_is_no_detect() -> None:
    found = detect(Brightness(), IMAGE)
    np.testing.assert_array_equal(found.score, 10)
    assert found.road is None


def test_detect_uses_the_detectors_own() -> None:
    found = detect(WithRoad(), IMAGE)
    assert found.road is not None
    assert found.road.all()
