"""The detectron2 wrapper, without detectron2 and on a stand-in of the calls that it makes."""

import sys

import detectron2_stand_in as stand_in
import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional as F

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.detectors import load_detector, pixel_rules
from objectomaly_ros.detectors.preprocessing import resize


def test_without_detectron2_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "detectron2", None)  # as if it were not installed
    monkeypatch.setitem(sys.modules, "detectron2.config", None)
    with pytest.raises(ImportError, match=r"pip install 'git\+https.*detectron2.*run here without"):
        load_detector("detectron2", checkpoint="model.pth", config="config.yaml")


@pytest.fixture
def installed(monkeypatch):
    for name, module in stand_in.modules().items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def network():
    torch.manual_seed(1)
    return stand_in.SemanticSegmentor(
        stand_in.Node(MODEL=stand_in.Node(DEVICE="cpu"))
    ).requires_grad_(False)


@pytest.fixture
def load(installed, network, tmp_path):
    def go(
        tensors=None,
        kind="SemanticSegmentor",
        size=40,
        colours="RGB",
        extra=None,
        said=None,
        **opts,
    ):
        config, weights = tmp_path / "config.yaml", tmp_path / "model_final.pth"
        content = {
            "MODEL": {"META_ARCHITECTURE": kind},
            "INPUT": {"MIN_SIZE_TEST": size, "MAX_SIZE_TEST": 1333, "FORMAT": colours},
            **(extra or {}),
        }
        config.write_text(yaml.safe_dump(content))
        torch.save({"model": tensors or network.state_dict(), **(said or {})}, weights)
        return load_detector("detectron2", checkpoint=weights, config=config, **opts)

    return go


def sem_seg_by_hand(network, image):
    """What the stand-in's convolution says of an image in its own colour order, at its size."""
    pixels = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)
    return network.backbone(((pixels - network.pixel_mean) / 60)[None])


@pytest.mark.parametrize("colours", ["RGB", "BGR"])
def test_the_sem_seg_output_is_scored(load, network, street, colours):
    detection = load(colours=colours, road=2, rule="energy").detect(street)
    small = resize(street, (40, 57))  # the short side 40 of 70x100
    maps = sem_seg_by_hand(network, small if colours == "RGB" else small[:, :, ::-1].copy())
    maps = F.interpolate(maps, street.shape[:2], mode="bilinear")[0]
    np.testing.assert_allclose(detection.score, pixel_rules.energy(maps).numpy(), atol=1e-4)
    assert np.mean(detection.road == (maps.argmax(0) == 2).numpy()) > 0.999
    assert detection.score.dtype == np.float32


def test_a_size_of_zero_leaves_the_image_alone(load, network, street):
    detector = load(size=0, road=None)
    score = detector.score(street)
    np.testing.assert_array_equal(detector.score_tensor(street).numpy(), score)
    wanted = pixel_rules.max_logit(sem_seg_by_hand(network, street)[0]).numpy()
    np.testing.assert_allclose(score, wanted, atol=1e-4)


def test_a_projects_own_keys_are_added_first(load, street, monkeypatch):
    project = type(sys)("their_project")
    project.add_config = lambda cfg: cfg.MODEL.update(MASK_FORMER=stand_in.Node(LAYERS=3))
    monkeypatch.setitem(sys.modules, "their_project", project)
    extra = {"MODEL": {"META_ARCHITECTURE": "SemanticSegmentor", "MASK_FORMER": {"LAYERS": 9}}}
    with pytest.raises(KeyError, match="MASK_FORMER"):
        load(extra=extra)
    detector = load(extra=extra, extend="their_project:add_config")
    assert detector.score(street).shape == street.shape[:2]


def test_a_configuration_runs_no_code(installed, tmp_path):
    made, config = tmp_path / "made", tmp_path / "config.yaml"
    config.write_text(f"INPUT: !!python/object/apply:os.mkdir ['{made}']\n")
    with pytest.raises(yaml.constructor.ConstructorError, match=r"os\.mkdir"):
        load_detector("detectron2", checkpoint="model.pth", config=config)
    assert not made.exists()
    stand_in.get_cfg().merge_from_file(config)  # as detectron2 reads it by default
    assert made.exists()


def test_weights_that_do_not_fit_are_named(load, network):
    with pytest.raises(CheckpointError, match=r"1 missing: backbone\.bias"):
        load({"backbone.weight": network.backbone.weight})
    with pytest.raises(CheckpointError, match=r"backbone\.bias \[3\] instead of \[4\]"):
        load({**network.state_dict(), "backbone.bias": torch.zeros(3)})


def test_a_model_without_semantic_output(load, street):
    with pytest.raises(ValueError, match="the model returns panoptic_seg, but no sem_seg"):
        load(kind="PanopticOnly").score(street)


def test_no_weights_and_no_such_rule(load, installed):
    with pytest.raises(CheckpointError, match="needs the model's weights"):
        load_detector("detectron2", config="config.yaml")
    with pytest.raises(ValueError, match="no rule 'luck'"):
        load(rule="luck")


def test_a_file_may_ask_that_names_be_matched_by_their_ends(load, network, street):
    short = {name.removeprefix("backbone."): t for name, t in network.state_dict().items()}
    assert short.keys() != network.state_dict().keys()
    wanted = load().score(street)
    found = load(short, said={"matching_heuristics": True}).score(street)
    np.testing.assert_array_equal(found, wanted)
    with pytest.raises(CheckpointError, match=r"missing: backbone\."):
        load(short)
