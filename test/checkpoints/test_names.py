"""Names as published files spell them, and whose file it is."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.names import (
    by_their_ends,
    canonical,
    canonical_name,
    check_owner,
    load_tensors,
    owner,
)

EXPECTED = ["backbone.res2.conv1.weight", "backbone.res2.conv1.norm.weight", "head.mask.weight"]


@pytest.mark.parametrize(
    "names",
    [
        EXPECTED,
        ["res2.conv1.weight", "conv1.norm.weight", "mask.weight"],
        ["conv1.weight", "norm.weight", "head.mask.weight"],
    ],
)
def test_names_are_completed_by_their_ends(names):
    found = by_their_ends({name: i for i, name in enumerate(names)}, EXPECTED, "a file")
    assert found == {name: i for i, name in enumerate(EXPECTED)}


def test_ends_begin_at_dots_and_the_rest_is_left():
    found = by_their_ends({"k.weight": 1, "other.bias": 2}, EXPECTED, "a file")
    assert found == {"k.weight": 1, "other.bias": 2}


def test_an_end_of_two_names_is_told():
    said = r"weights.pkl asks .* weight is the end of backbone.res2.conv1.weight and backbone.res2"
    with pytest.raises(CheckpointError, match=said):
        by_their_ends({"weight": 1}, EXPECTED, "weights.pkl")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("module.backbone.x", "backbone.x"),
        ("module.module.branch1.mod1.conv1.weight", "branch1.mod1.conv1.weight"),
        (
            "sem_seg_head.pixel_decoder.pixel_decoder.adapter_1.weight",
            "sem_seg_head.pixel_decoder.adapter_1.weight",
        ),
        ("sem_seg_head.adapter_1.weight", "sem_seg_head.pixel_decoder.adapter_1.weight"),
        (
            "module.sem_seg_head.predictor.static_query.weight",
            "sem_seg_head.predictor.query_feat.weight",
        ),
        ("sem_seg_head.predictor.query_embed.weight", "sem_seg_head.predictor.query_embed.weight"),
        ("criterion.empty_weight", "criterion.empty_weight"),
    ],
)
def test_canonical_name(found, expected):
    assert canonical_name(found) == expected
    assert canonical_name(expected) == expected


def official(shared_dir, folder):
    content = json.loads((shared_dir / "golden" / folder / "state_dict.json").read_text())
    return {name: np.broadcast_to(0, t["shape"]) for name, t in content["tensors"].items()}


def test_official_names_are_canonical_and_owned(shared_dir):
    for folder, name in (
        ("mask2anomaly", "mask2anomaly"),
        ("rba", "rba"),
        ("uno", "uno"),
        ("maskomaly", "eam"),  # the same closed-set network
        ("rpl", "rpl"),
    ):
        tensors = official(shared_dir, folder)
        assert set(canonical(tensors)) == set(tensors)
        assert owner(tensors) == name
        doubled = {f"module.{n}".replace("pixel_decoder.", "pixel_decoder." * 2) for n in tensors}
        assert {canonical_name(n) for n in doubled} == set(tensors)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["image_encoder.blocks.0.norm1.weight", "mask_decoder.iou_token.weight"], "sam"),
        (["image_encoder.patch_embed.seq.0.c.weight", "mask_decoder.x"], "mobile_sam"),
        (["image_encoder.trunk.blocks.0.x", "sam_mask_decoder.iou_token.weight"], "sam2"),
        (["image_encoder.trunk.body.x", "sam_mask_decoder.x", "spatial_perceiver.x"], "edgetam"),
    ],
)
def test_the_sam_family(names, expected):
    assert owner(dict.fromkeys(names, np.zeros(1))) == expected


def test_another_detectors_file_is_named():
    rpl = {"branch1.mod1.conv1.weight": np.zeros((64, 3, 3, 3))}
    with pytest.raises(CheckpointError, match=r"x\.pth is a checkpoint of rpl, not of rba"):
        check_owner("rba", rpl, "x.pth")
    check_owner("rpl", rpl, "x.pth")
    closed = {"sem_seg_head.predictor.class_embed.weight": np.zeros((20, 256))}
    check_owner("maskomaly", closed, "x.pkl")
    check_owner("eam", closed, "x.pkl")
    with pytest.raises(CheckpointError, match=r"eam \(or maskomaly\), not of uno"):
        check_owner("uno", closed, "x.pkl")
    check_owner("uno", {"something.else": np.zeros(1)}, "x.pth")  # then the tensors' check speaks
    assert owner({"image_encoder.pos_embed": np.zeros(1)}) == "sam"


class TestLoadTensors:
    @pytest.fixture
    def network(self):
        return nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))

    @pytest.fixture
    def tensors(self, network):
        """Those of the network doubled, in float64, without the counter of the batch norm."""
        state = network.state_dict().items()
        return {name: 2 * value.double() for name, value in state if "num_batches" not in name}

    def test_values_are_copied_in_the_networks_type(self, network, tensors):
        load_tensors(network, tensors, "a.pth")
        assert network[0].weight.dtype == torch.float32
        for name, value in tensors.items():
            torch.testing.assert_close(network.state_dict()[name].double(), value)
        tensors["0.weight"].zero_()
        assert network[0].weight.all(), "the network shares memory with the file"

    def test_tensors_beside_the_networks_may_be_allowed(self, network, tensors):
        tensors["head.weight"] = torch.zeros(3)
        load_tensors(network, tensors, "a.pth", ignored=("head.",))
        load_tensors(network, tensors, "a.pth", ignored=("",))
        with pytest.raises(CheckpointError, match=r"a.pth does not fit .* 1 unknown: head.weight"):
            load_tensors(network, tensors, "a.pth", ignored=("body.",))

    def test_what_does_not_fit_is_named_and_nothing_loaded(self, network, tensors):
        before = network[1].weight.clone()
        tensors["0.weight"] = torch.zeros(3)
        del tensors["0.bias"]
        said = r"1 missing: 0.bias; 1 of another shape: 0.weight \[3\] instead of \[1, 2\]$"
        with pytest.raises(CheckpointError, match=said):
            load_tensors(network, tensors, "a.pth")
        assert torch.equal(network[1].weight, before)


def test_names_that_repeat_their_beginning_take_no_time():
    assert canonical_name("module." * 10**6 + "x") == "x"
    doubled = "sem_seg_head.pixel_decoder." + "pixel_decoder." * 10**6
    assert canonical_name(doubled + "x") == "sem_seg_head.pixel_decoder.x"


def test_two_tensors_of_one_name_are_refused():
    with pytest.raises(CheckpointError, match=r"several tensors called a\.weight$"):
        canonical({"a.weight": 1, "module.a.weight": 2, "b": 3})
