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


class OnlyScore:
    def score(self, image: Image) -> ScoreMap:
        return image[..., 0].astype(np.float32)


class OnlyDevice(OnlyScore):
    def __init__(self, device: str) -> None:
        self.device = device


class OnlyCheckpoint(OnlyScore):
    def __init__(self, checkpoint: str | None = None, *, gain: float = 1.0) -> None:
        self.checkpoint, self.gain = checkpoint, gain


class AnyArguments(OnlyScore):
    def __init__(self, *arguments: object) -> None:
        assert not arguments


@pytest.mark.parametrize("kind", [OnlyScore, OnlyDevice, OnlyCheckpoint, AnyArguments])
def test_a_class_is_constructed_with_what_it_takes(
    importable: str, monkeypatch: pytest.MonkeyPatch, kind: type
) -> None:
    monkeypatch.setattr(f"{importable}.Own", kind, raising=False)
    detector = load_detector(f"{importable}:Own", device="cuda:1")
    assert isinstance(detector, kind)
    assert getattr(detector, "device", "cuda:1") == "cuda:1"
    if kind is not OnlyCheckpoint:
        with pytest.raises(
            TypeError, match=r"Own takes no checkpoint, but net\.pt is given as one"
        ):
            load_detector(f"{importable}:Own", "net.pt")
        with pytest.raises(TypeError, match=r"Own has no option gain"):
            load_detector(f"{importable}:Own", gain=2.0)
    else:
        assert load_detector(f"{importable}:Own", "net.pt", gain=2.0).checkpoint == "net.pt"


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


class Returning(Brightness):
    """Scores every image by what it was given."""

    def __init__(self, score: object) -> None:
        self.given = score

    def score(self, image: Image) -> ScoreMap:
        return self.given


class ReturningRoad(Returning):
    def __init__(self, score: object, road: object) -> None:
        super().__init__(score)
        self.road = road

    def detect(self, image: Image) -> Detection:
        return Detection(self.given, self.road)


VALUES = np.arange(24).reshape(4, 6) % 7


@pytest.mark.parametrize(
    "kind", [np.bool_, np.uint8, np.int64, np.float16, ">f4", np.float32, np.float64]
)
def test_detect_converts_real_numbers(kind: type) -> None:
    given = VALUES.astype(kind)
    for score in (given, np.asfortranarray(given), np.repeat(given, 2, axis=1)[:, ::2]):
        found = detect(Returning(score), IMAGE).score
        assert found.dtype == np.dtype("=f4")
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, given)


def test_detect_leaves_a_proper_score_as_it_is() -> None:
    score = VALUES.astype(np.float32)
    assert detect(Returning(score), IMAGE).score is score


def test_detect_takes_finite_scores_of_any_size() -> None:
    score = np.full((4, 6), 9e29, np.float32)
    np.testing.assert_array_equal(detect(Returning(score), IMAGE).score, score)


@pytest.mark.parametrize(
    ("score", "said"),
    [
        (VALUES.astype(complex), r"returned scores of complex128; .* real numbers"),
        (VALUES.astype(object), "scores of object"),
        (None, "scores of object"),
        (VALUES[None] / 2, r"scores of shape \(1, 4, 6\) for an image of \(4, 6\)"),
        (VALUES.T / 2, r"scores of shape \(6, 4\) for an image of"),
        (VALUES.ravel() / 2, r"scores of shape \(24,\) for an image of"),
        (np.where(VALUES == 1, np.nan, VALUES), "4 scores of 24 that are not finite"),
        (np.where(VALUES == 1, np.inf, -np.inf), "24 scores of 24 that are not finite"),
        (np.full((4, 6), 1e300), "24 scores of 24 that are not finite"),
        (np.where(VALUES == 1, 3e38, VALUES), "4 scores of 24 .* below 1e.30"),
    ],
)
def test_detect_says_what_is_wrong_with_a_score(score: object, said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        detect(Returning(score), IMAGE)
    with pytest.raises((TypeError, ValueError), match=said):
        detect(ReturningRoad(score, None), IMAGE)


@pytest.mark.parametrize(
    ("road", "said"),
    [
        (np.ones((4, 6), np.uint8), "a road of uint8; it must be bool"),
        (np.ones((6, 4), np.bool_), r"a road of shape \(6, 4\) for an image of \(4, 6\)"),
    ],
)
def test_detect_says_what_is_wrong_with_a_road(road: object, said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"ReturningRoad returned {said}"):
        detect(ReturningRoad(VALUES / 2, road), IMAGE)


def test_detect_wants_a_detection() -> None:
    class Pair(Brightness):
        def detect(self, image: Image) -> Detection:
            return self.score(image), None

    with pytest.raises(TypeError, match=r"Pair\.detect returned a tuple, not a Detection"):
        detect(Pair(), IMAGE)
