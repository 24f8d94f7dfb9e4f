"""The node with a published detector, from a file like its authors'."""

import itertools
import os

import numpy as np
import pytest
import torch
from domains import next_domain

pytest.importorskip(
    "rclpy", reason="the node needs rclpy and built messages: run under scripts/env"
)

import graph as g
from sensor_msgs.msg import Image
from simple_models import BandMasks
from small_networks import ARCHITECTURES, official_tensors

from objectomaly_ros.detectors import load_detector
from objectomaly_ros.detectors.architectures import MASK2ANOMALY
from objectomaly_ros.detectors.mask2former import Mask2FormerNetwork
from objectomaly_ros.pipeline import Objectomaly

pytestmark = pytest.mark.ros

SLOW = pytest.mark.skipif(
    os.environ.get("OBJECTOMALY_SLOW") != "1",
    reason="full-size network; set OBJECTOMALY_SLOW=1 to run it",
)


@pytest.fixture
def start():
    closing = []

    def go(**parameters):
        domain = next_domain()
        node = g.NodeProcess(domain, **parameters)
        closing.append(node)
        around = g.Graph(domain)
        closing.append(around)
        return node, around

    yield go
    for thing in reversed(closing):
        thing.close()


def street(seed):
    image = np.random.default_rng(seed).normal(0, 6, (72, 128, 3)) + 110
    image[20:50, 30 + 10 * seed : 60 + 10 * seed] += (90, -60, -60)
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("small_networks:mask2anomaly", ARCHITECTURES["mask2anomaly"]),
        pytest.param(
            "mask2anomaly", MASK2ANOMALY, marks=[SLOW, pytest.mark.timeout(1800)], id="full size"
        ),
    ],
)
def test_mask2anomaly_in_the_node_gives_the_offline_score(start, tmp_path, name, architecture):
    checkpoint = tmp_path / "model_final.pth"
    tensors = official_tensors(Mask2FormerNetwork(architecture))
    torch.save({"model": tensors, "iteration": 89999}, checkpoint)
    node, graph = start(
        **{
            "detector.name": name,
            "detector.checkpoint": str(checkpoint),
            "detector.options": "['input_size=96']",
            "refine.every_n": 1,
            "refine.propagation": "hold",
        }
    )
    pipeline = Objectomaly(load_detector(name, checkpoint, input_size=96), BandMasks())
    node.wait_log("active on cpu")
    node.wait_log(f"detector {name} has no threshold and threshold.high is not set")
    coarse = graph.listen(Image, f"{g.NODE}/coarse_score")
    scores = graph.listen(Image, f"{g.NODE}/score")
    publisher = graph.publisher("/image")
    masks_at_hand = False
    for k in itertools.count():
        image = street(k % 4)
        publisher.publish(g.image_message(1 + k, image))
        g.wait_for(lambda k=k: len(coarse) == len(scores) == k + 1, f"score {k}")
        assert g.stamps(coarse) == g.stamps(scores) == [(1 + n, 0) for n in range(k + 1)]
        offline = pipeline.coarse(image)
        spread = np.ptp(offline)
        assert spread > 0.1  # else any map would do
        np.testing.assert_allclose(g.array_of(coarse[-1]), offline, atol=1e-3 * spread)
        if masks_at_hand:  # the bands are the same on every image, so old masks do
            refined = pipeline.refine(image, offline).score
            np.testing.assert_allclose(g.array_of(scores[-1]), refined, atol=1e-3 * spread)
            break
        masks_at_hand = not np.array_equal(g.array_of(scores[-1]), g.array_of(coarse[-1]))
        assert k < 20, "no masks came"


def test_another_detectors_checkpoint_fails_configure_and_the_node_lives(start, tmp_path):
    path = tmp_path / "theirs.pth"
    names = ("multihead_attn_background.in_proj_bias", "static_query.weight")
    torch.save({"model": {f"sem_seg_head.predictor.{n}": torch.zeros(4) for n in names}}, path)
    node, graph = start(**{"detector.name": "uno", "detector.checkpoint": str(path)})
    node.wait_log("configure failed: ")
    (line,) = [line for line in node.lines if "configure failed" in line]
    assert f"{path} is a checkpoint of mask2anomaly, not of uno" in line
    assert "ros2 lifecycle set /objectomaly configure" in line
    assert "Traceback" not in node.log
    assert graph.state() == "unconfigured"
    assert node.process.poll() is None
