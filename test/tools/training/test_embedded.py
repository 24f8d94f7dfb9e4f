"""Composed scenes, losses and figures of the training."""

import numpy as np
import pytest
import torch

from objectomaly_ros.detectors.embedded_net import CLASSES
from tools.labelled import read_labelled
from tools.training.embedded import weather
from tools.training.embedded.evaluate import evaluate, false_alarms
from tools.training.embedded.frames import (
    CAR,
    PAVEMENT,
    ROAD,
    VOID,
    Frame,
    cut_known,
    load_frames,
    load_outliers,
    mix_frames,
)
from tools.training.embedded.losses import outlier_loss
from tools.training.embedded.outliers import make_outlier
from tools.training.embedded.paste import IGNORE, Scene
from tools.training.embedded.samples import PARTS, Batches
from tools.training.embedded.solids import make_solid


@pytest.fixture(scope="module")
def frames(data):
    held_out = {f"A_{i:03}" for i in range(40)}
    return load_frames(data / "camvid" / "train", held_out)


@pytest.fixture(scope="module")
def outliers(data):
    return load_outliers(data / "ood_objects")


def test_frames_to_leave_out_are_left_out(frames):
    assert len(frames) == 4


def test_solids_have_a_body_light_and_two_materials():
    rng = np.random.default_rng(4)
    materials = set()
    for _ in range(60):
        alpha, light, part = make_solid(rng)
        assert alpha.shape == light.shape == part.shape
        assert alpha.dtype == np.float32
        assert 0 <= alpha.min() <= alpha.max() <= 1.001
        assert (alpha > 0.5).sum() > 30
        assert np.isfinite(light).all()
        assert light.min() >= 0
        materials |= set(np.unique(part).tolist())
    assert materials == {0, 1}


def test_no_two_solids_are_alike_and_a_seed_draws_the_same_again():
    drawn = [make_solid(np.random.default_rng(seed))[0] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert drawn[0].shape != drawn[2].shape or not np.array_equal(drawn[0], drawn[2])


def test_what_is_pasted_is_what_is_marked(frames, outliers):
    rng = np.random.default_rng(3)
    shown = 0
    for frame in frames * 4:
        scene = Scene(frame, VOID)
        before = scene.image.copy()
        if not scene.paste(make_outlier(outliers, frames, rng), rng):
            continue
        marked = scene.outlier == 1
        assert (scene.label[marked] == IGNORE).all()  # an outlier has no class
        assert (scene.pasted == marked).all()
        changed = (scene.image != before).any(-1)
        shown += changed[marked].mean() > 0.5
        np.testing.assert_array_equal(frame.image, before)  # the frame itself stays
    assert shown >= 3


def test_a_known_object_pasted_keeps_its_class_and_is_normal(frames):
    known = cut_known(frames)
    assert known
    assert {cutout.label for cutout in known} == {CAR}
    rng = np.random.default_rng(1)
    scene = Scene(frames[0], VOID)
    while not scene.pasted.any():
        scene.paste(known[0], rng)
    assert (scene.label[scene.pasted] == CAR).all()
    assert (scene.outlier[scene.pasted] == 0).all()


def test_paint_lies_on_the_ground_and_is_normal(frames):
    rng = np.random.default_rng(2)
    painted = 0
    for frame in frames * 10:
        scene = Scene(frame, VOID)
        before = scene.image.copy()
        scene.paint(rng)
        changed = (scene.image != before).any(-1)
        assert np.isin(frame.label[changed], (ROAD, PAVEMENT)).all()
        painted += changed.any()
        assert not (scene.outlier == 1).any()
        np.testing.assert_array_equal(scene.label, Scene(frame, VOID).label)
        assert (scene.weight[~changed] == 1).all()
    assert painted > 10


def test_ghosts_shadows_and_retouching_change_the_picture_and_nothing_else(frames, outliers):
    rng = np.random.default_rng(6)
    for how in ("ghost", "shadow", "retouch"):
        changed = 0
        for frame in frames * 3:
            scene = Scene(frame, VOID)
            before, labels = scene.image.copy(), scene.label.copy()
            if how == "retouch":
                scene.retouch_known(rng)
            else:
                scene.paste(make_outlier(outliers, frames, rng), rng, how)
            changed += (scene.image != before).any()
            assert not (scene.outlier == 1).any()
            assert not scene.pasted.any()
            np.testing.assert_array_equal(scene.label, labels)
        assert changed >= 3, how


def test_mixed_streets_show_what_their_labels_say(frames):
    rng = np.random.default_rng(8)
    plain = [
        Frame(np.full_like(f.image, 100 * i), f.label, f.near, f.horizon)
        for i, f in enumerate(frames[:2])
    ]
    taken = 0
    for _ in range(10):
        mixed = mix_frames(plain[0], plain[1], rng)
        other = mixed.image[..., 0] > 50  # the second street's pixels are 100, the first's 0
        taken += other.any()
        np.testing.assert_array_equal(mixed.label[other], plain[1].label[other])
        np.testing.assert_array_equal(mixed.label[~other], plain[0].label[~other])
        assert not np.isin(mixed.label[other], (ROAD, VOID)).any()
    assert taken >= 5


def test_what_is_left_out_of_the_samples_is_left_out(frames, outliers, monkeypatch):
    for method in ("paint", "retouch_known"):
        monkeypatch.setattr(Scene, method, lambda *_: pytest.fail("is to be left out"))
    for change in ("night", "dusk", "low_sun", "fog", "snow", "rain", "behind_glass"):
        monkeypatch.setattr(weather, change, lambda *_: pytest.fail("is to be left out"))
    batches = Batches(
        {"camvid": frames},
        outliers,
        cut_known(frames),
        batch=8,
        crop=(64, 96),
        seed=5,
        without=PARTS,
    )
    assert len(next(iter(batches))["image"]) == 8


def test_the_outlier_loss_counts_valid_pixels_alone():
    torch.manual_seed(0)
    logit, weight = torch.randn(2, 20, 30), torch.rand(2, 20, 30) + 0.5
    outlier = (torch.rand(2, 20, 30) < 0.1).to(torch.uint8)
    outlier[:, 10:] = IGNORE
    half = outlier_loss(logit[:, :10], outlier[:, :10], weight[:, :10])
    assert outlier_loss(logit, outlier, weight).item() == pytest.approx(half.item(), rel=1e-6)
    better = logit + 2.0 * (2.0 * (outlier == 1) - 1)
    assert outlier_loss(better, outlier, weight) < half
    assert torch.isfinite(outlier_loss(logit, torch.full_like(outlier, IGNORE), weight))


def test_batches_are_what_the_network_takes(frames, outliers):
    batches = Batches(
        {"camvid": frames}, outliers, cut_known(frames), batch=3, crop=(64, 96), seed=5
    )
    first, again = next(iter(batches)), next(iter(batches))
    assert first["image"].shape == (3, 3, 64, 96)
    assert first["label"].shape == first["outlier"].shape == first["weight"].shape == (3, 64, 96)
    assert set(np.unique(first["outlier"].numpy())) <= {0, 1, IGNORE}
    for name, value in first.items():
        np.testing.assert_array_equal(again[name].numpy(), value.numpy())


def brightness(image):
    return image.mean(-1).astype(np.float32) / 255


def test_the_threshold_of_95_percent_recall(data):
    found = evaluate(brightness, data / "street_ood" / "dev")
    frames = [read_labelled(data / "street_ood" / "dev", f"B_00{i}") for i in range(3)]
    anomalous = np.concatenate([brightness(image)[label == 1] for image, label in frames])
    normal = np.concatenate([brightness(image)[label == 0] for image, label in frames])
    assert 0.95 <= (anomalous > found.threshold_recall95).mean() < 0.97
    assert (normal > found.threshold_recall95).mean() == pytest.approx(found.fpr95)


def test_false_alarms_are_shares_of_the_labelled_area(data):
    def cry_on_dark(image):
        return (image.mean(-1) < 110).astype(np.float32)

    found = false_alarms(cry_on_dark, data / "camvid" / "val", 0.5)
    assert set(found) == {"all", "ground", *CLASSES}
    assert 0 < found["all"] < 1
    never = false_alarms(lambda image: np.zeros(image.shape[:2], np.float32),
                         data / "camvid" / "val", 0.5)  # fmt: skip
    assert never["all"] == 0
