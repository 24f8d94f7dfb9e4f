"""Coarse scores from another node: `detector.name: precomputed` without a checkpoint."""

import itertools
import time

import numpy as np
import pytest
from domains import next_domain

pytest.importorskip(
    "rclpy", reason="the node needs rclpy and built messages: run under scripts/env"
)

import graph as g
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image
from simple_models import BandMasks

from objectomaly_ros.arrays.image_messages import decode_score
from objectomaly_ros.pipeline import Objectomaly
from objectomaly_ros.ros.score_input import ScoreInput
from objectomaly_ros.runtime.interface import BadImageError, Frame

pytestmark = pytest.mark.ros

DOMAIN = next_domain()
CLOCK = itertools.count(1000, 10)


@pytest.fixture(scope="module")
def node():
    node = g.NodeProcess(
        DOMAIN,
        "-r",
        "score_in:=/their_detector/score",
        **{"detector.name": "precomputed", "refine.every_n": 1, "refine.propagation": "hold",
           "threshold.high": 0.5},
    )  # fmt: skip
    node.wait_log("waiting for images on /image, /their_detector/score")
    yield node
    node.close()


@pytest.fixture(scope="module")
def around(node):
    graph = g.Graph(DOMAIN)
    yield graph
    graph.close()


@pytest.fixture
def graph(around):
    yield around
    around.forget()


def score_map(seed=0, shape=(60, 80)):
    return np.random.default_rng(seed).random(shape, np.float32)


def score_message(stamp, score):
    return g.image_message(stamp, score, encoding="32FC1", frame_id="their_camera")


@pytest.fixture
def publish(graph):
    """Publishes an image, a map, or both, of a stamp."""
    images = graph.publisher("/image")
    scores = graph.publisher("/their_detector/score")

    def go(stamp, score=None, image=True):
        if image:
            images.publish(g.image_message(stamp))
        if score is not None:
            scores.publish(score_message(stamp, score))
        return stamp

    return go


def test_the_map_of_the_images_stamp_is_its_coarse_score(graph, publish):
    coarse = graph.listen(Image, f"{g.NODE}/coarse_score")
    first = next(CLOCK)
    sent = [(first + k / 10, score_map(k)) for k in range(3)]
    for stamp, _ in sent:
        publish(stamp)
    for stamp, score in sent:
        publish(stamp, score, image=False)
    g.wait_for(lambda: len(coarse) == 3, "three scores")
    for message, (stamp, score) in zip(coarse, sent, strict=True):
        assert message.header == g.image_message(stamp).header  # the camera's, not the detector's
        np.testing.assert_array_equal(g.array_of(message), score)


def test_their_score_is_refined_as_ours_would_be(graph, publish):
    refined = graph.listen(Image, f"{g.NODE}/score")
    score = score_map(7)
    pipeline = Objectomaly(None, BandMasks())
    wanted = pipeline.refine(g.picture(), score).score

    first = next(CLOCK)

    def newest_is_refined():
        before = len(refined)
        publish(first + before / 100, score)  # masks may count less the older they are
        g.wait_for(lambda: len(refined) > before, "the score")
        return np.abs(g.array_of(refined[-1]) - score).max() > 0.01

    g.wait_for(newest_is_refined, "masks")
    np.testing.assert_allclose(g.array_of(refined[-1]), wanted, atol=1e-5)


def test_images_without_a_map_are_counted_and_said(node, graph, publish):
    coarse = graph.listen(Image, f"{g.NODE}/coarse_score")
    _, _, before = graph.diagnostics()["objectomaly: camera"]
    first = next(CLOCK)
    for k in range(3):
        publish(first + k / 10)
    time.sleep(0.5)
    assert coarse == []
    publish(first + 0.3, score_map())
    g.wait_for(lambda: len(coarse) == 1, "the one that has a map")

    def report():
        return graph.diagnostics()["objectomaly: camera"]

    said = []

    def missing_is_said():
        said.append(report())
        return "had no score map on /their_detector/score" in said[-1][1]

    g.wait_for(missing_is_said, "diagnostics of it")
    level, message, values = said[-1]
    assert level == DiagnosticStatus.WARN[0]
    assert "the image's stamp" in message
    assert int(values["images without score map"]) - int(before["images without score map"]) == 3
    node.wait_log("3 images had no score map on /their_detector/score")


def test_a_map_of_another_size_costs_its_image_only(node, graph, publish):
    coarse = graph.listen(Image, f"{g.NODE}/coarse_score")
    publish(next(CLOCK), score_map(shape=(30, 40)))
    node.wait_log(
        "their_detector/score is skipped: the other node returned scores of shape (30, 40) for"
    )
    publish(next(CLOCK), score_map())
    g.wait_for(lambda: len(coarse) == 1, "the next one")
    assert node.process.poll() is None


@pytest.mark.parametrize(
    ("stamps", "told"),
    [([0.0, 0.0, 0.0], "no stamp (0)"), ([7.5, 7.5, 7.5], "the stamp of the one before it")],
)
def test_images_and_maps_without_a_stamp_of_their_own_are_refused(stamps, told):
    frames, warnings = [], []
    scores = ScoreInput("/theirs", 10_000, lambda key, text: warnings.append(text))
    take = scores.start(frames.append)
    for number, stamp in enumerate(stamps):  # all images come before the first map
        take(Frame("", stamp, number, g.image_message(stamp)))
    for number, stamp in enumerate(stamps):
        scores.take_score(score_message(stamp, score_map(number)))
    paired = [(frame.received_s, frame.score(g.picture())[0, 0]) for frame in frames]
    assert paired == ([] if not stamps[0] else [(0, score_map(0)[0, 0])])  # never a wrong pair
    refused = 3 - len(paired)
    assert (scores.counts()["images without score map"], len(warnings)) == (refused, 2 * refused)
    for what in ("an image", "a score map"):
        assert any(text.startswith(f"{what} is skipped, since it has {told}") for text in warnings)
    take(Frame("", 9.0, 9.0, g.image_message(9.0)))
    scores.take_score(score_message(9.0, score_map()))
    assert frames[-1].received_s == 9.0


def test_a_map_that_is_not_finite_is_no_score():
    frames = []
    scores = ScoreInput("/theirs", 10_000, lambda key, text: None)
    take = scores.start(frames.append)
    take(Frame("", 1.0, 0.0, g.image_message(1.0)))
    scores.take_score(score_message(1.0, np.full((60, 80), np.nan, np.float32)))
    with pytest.raises(BadImageError, match=r"/theirs is skipped: .* 4800 scores of 4800 that are"):
        frames[0].score(g.picture())


def test_a_map_is_read_whatever_its_rows_and_byte_order():
    score = score_map(3)
    message = score_message(1.0, score)
    np.testing.assert_array_equal(decode_score(message, 10_000), score)
    padded = np.zeros((60, 100), np.float32)
    padded[:, :80] = score
    message = score_message(1.0, padded)
    message.width = 80
    np.testing.assert_array_equal(decode_score(message, 10_000), score)
    message = score_message(1.0, score.astype(">f4"))
    message.is_bigendian = 1
    np.testing.assert_array_equal(decode_score(message, 10_000), score)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"encoding": "mono8"}, "'mono8', not 32FC1"),
        ({"height": 0}, "it is empty"),
        ({"step": 100}, "step is 100 bytes, but 80 pixels of 32FC1 take 320"),
        ({"height": 61}, "too short"),
    ],
)
def test_what_is_no_map_is_named(fields, text):
    message = score_message(1.0, score_map())
    for name, value in fields.items():
        setattr(message, name, value)
    with pytest.raises(ValueError, match=text):
        decode_score(message, 10_000)
