"""RPL: its network's names, its numbers, its file."""

import json

import numpy as np
import pytest
import torch
from small_networks import HALF_DEVICE

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.names import load_tensors
from objectomaly_ros.detectors import load_detector, pixel_rules
from objectomaly_ros.detectors.rpl import RplDetector
from objectomaly_ros.detectors.rpl_net import RplNetwork
from tools.gpu.tiny import HALF_BOUNDS


@pytest.fixture(scope="module")
def small(make_value):
    """The network at an eighth of its width, with reproducible weights."""
    network = RplNetwork(width=8)
    tensors = {
        name: make_value(name, list(tensor.shape))
        for name, tensor in network.state_dict().items()
        if "num_batches" not in name
    }
    tensors["branch1.final.6.weight"] *= 0.05  # logits of a few units, as trained ones are
    load_tensors(network, tensors, "small", ignored=("",))
    return network


def test_names_and_shapes_are_the_official_ones(shared_dir):
    with torch.device("meta"):
        found = {name: list(t.shape) for name, t in RplNetwork().state_dict().items()}
    for file in ("state_dict.json", "state_dict_rpl_without_corocl.json"):
        content = json.loads((shared_dir / "golden" / "rpl" / file).read_text())
        wanted = {name: t["shape"] for name, t in content["tensors"].items()}
        assert found == {n: shape for n, shape in wanted.items() if "proj_head" not in n}


def test_small_network_gives_the_expected_numbers(small, street, expected):
    detector = RplDetector(small)
    vanilla, anomaly = detector._logits(street)
    detection = detector.detect(street)
    assert detection.score.shape == street.shape[:2]
    assert detection.score.dtype == np.float32
    expected(
        "tiny_rpl",
        vanilla=vanilla[:, ::5, ::5].numpy(),
        anomaly=anomaly[:, ::5, ::5].numpy(),
        score=detection.score[::2, ::2],
    )
    np.testing.assert_array_equal(detection.road, vanilla.argmax(0).numpy() == 0)


def test_rules_and_flip(small, street):
    detector = RplDetector(small, rule="entropy")
    _, anomaly = detector._logits(street)
    wanted = pixel_rules.smooth(pixel_rules.entropy(anomaly)).numpy()
    np.testing.assert_allclose(detector.score(street), wanted, atol=1e-6)
    mirrored = detector.score(street[:, ::-1])[:, ::-1]
    both = RplDetector(small, rule="entropy", flip=True).score(street)
    np.testing.assert_allclose(both, (wanted + mirrored) / 2, atol=1e-5)
    with pytest.raises(ValueError, match="energy or entropy"):
        RplDetector(small, rule="msp")


@pytest.mark.parametrize("precision", HALF_BOUNDS)
def test_half_precision_stays_close(small, street, precision):
    full = RplDetector(small).score(street)
    half = RplDetector(small, precision=precision).score(street)
    assert half.dtype == np.float32
    assert 0 < np.abs(half - full).mean() < HALF_BOUNDS[precision] * np.ptp(full)


def test_the_score_on_the_device_is_the_score(small, street):
    detector = RplDetector(small, flip=True)
    np.testing.assert_array_equal(detector.score_tensor(street).numpy(), detector.score(street))
    np.testing.assert_array_equal(detector.detect(street).score, detector.score(street))


@pytest.mark.parametrize(("shape", "input_size"), [((37, 51), None), ((70, 100), 48)])
def test_any_size(small, street, shape, input_size):
    image = street[: shape[0], : shape[1]]
    detection = RplDetector(small, input_size=input_size).detect(image)
    assert detection.score.shape == detection.road.shape == shape


def test_what_does_not_fit_is_named(small):
    tensors = dict(small.state_dict())
    del tensors["branch1.aspp.features.1.0.weight"]
    tensors["branch1.bot_fine.weight"] = torch.zeros(3)
    with pytest.raises(CheckpointError) as failure:
        load_tensors(RplNetwork(width=8), tensors, "res.pth", ignored=("",))
    assert "1 missing: branch1.aspp.features.1.0.weight" in str(failure.value)
    assert "branch1.bot_fine.weight [3] instead of [6, 16, 1, 1]" in str(failure.value)


def test_projection_head_and_counters_may_be_there_or_not(small):
    tensors = {n: t for n, t in small.state_dict().items() if "num_batches" not in n}
    tensors["branch1.residual_block.proj_head.proj.0.weight"] = torch.zeros(38, 32, 1, 1)
    load_tensors(RplNetwork(width=8), tensors, "rev3.pth", ignored=("",))


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(CheckpointError, match="rpl needs a checkpoint"):
        load_detector("rpl")
    path = tmp_path / "m2f.pth"
    torch.save({"sem_seg_head.predictor.level_embed.weight": torch.zeros(1, 256)}, path)
    with pytest.raises(CheckpointError, match="is a checkpoint of rba, not of rpl"):
        load_detector("rpl", checkpoint=path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_golden(shared_dir, golden_file):
    file = golden_file("rpl")
    detector = load_detector("rpl", checkpoint=file)
    data = np.load(shared_dir / "golden" / "rpl" / "network_golden.npz")
    vanilla, anomaly = detector._logits(data["image"])
    assert np.abs(vanilla[:, ::2, ::2].numpy() - data["logits_vanilla"]).max() < 1e-4
    assert np.abs(anomaly[:, ::2, ::2].numpy() - data["logits_rpl"]).max() < 1e-4
    assert np.array_equal(vanilla.argmax(0).numpy(), data["argmax_vanilla"])
    score = pixel_rules.smooth(pixel_rules.energy(anomaly)).numpy()
    assert np.abs(score - data["anomaly_energy"]).max() < 1e-4
    score = pixel_rules.smooth(pixel_rules.entropy(anomaly)).numpy()
    assert np.abs(score - data["anomaly_entropy"]).max() < 1e-4
    assert np.abs(detector.score(data["image_odd"]) - data["anomaly_energy_odd"]).max() < 1e-4


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(HALF_DEVICE is None, reason="no GPU, and this CPU only emulates bfloat16")
def test_half_precision_golden(shared_dir, golden_file):
    detector = load_detector("rpl", checkpoint=golden_file("rpl"), **HALF_DEVICE)
    data = np.load(shared_dir / "golden" / "rpl" / "network_golden.npz")
    off = np.abs(detector.score(data["image"]) - data["anomaly_energy"]).mean()
    assert off < 0.1 * np.ptp(data["anomaly_energy"])
