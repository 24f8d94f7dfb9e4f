"""The node's mask process with SAM: what `config/paper.yaml` asks for, on a small network."""

import multiprocessing
import threading
from contextlib import suppress

import numpy as np
import pytest
import torch
from segment_anything import sam_model_registry

from objectomaly_ros.oasc import calibrate
from objectomaly_ros.ros.parameters import options
from objectomaly_ros.runtime import mask_server
from objectomaly_ros.runtime.keyframes import Failure, KeyframeMasks, MaskGeneratorSpec

PARAMETER = [
    "points_per_side=6", "pred_iou_thresh=0.85", "stability_score_thresh=0.5",
    "box_nms_thresh=0.9", "colour_order=bgr", "points_per_batch=8",
]  # fmt: skip


@pytest.fixture
def served(sam, make_sam, monkeypatch, tmp_path):
    """A mask server in a thread, that `sam_vit_b` is small for; returns our end of the line."""
    monkeypatch.setitem(sam_model_registry, "vit_b", make_sam)
    monkeypatch.setattr(mask_server, "_leave_room_for_cas", lambda device: None)
    path = tmp_path / "sam_vit_b_01ec64.pth"
    torch.save(sam.state_dict(), path)
    ours, theirs = multiprocessing.Pipe()

    def serve():
        with suppress(EOFError):  # the test is over
            mask_server.serve(theirs)

    thread = threading.Thread(target=serve)
    thread.start()
    ours.send(MaskGeneratorSpec("sam_vit_b", str(path), "cpu", options(PARAMETER)))
    assert ours.recv() is None, "the generator did not load"
    assert isinstance(ours.recv(), KeyframeMasks)  # of its first picture, of noise
    yield ours
    ours.close()
    thread.join()


def test_keyframes_are_answered_with_cells_of_sams_masks(served, sam, make_image):
    from objectomaly_ros.masks.sam.generator import SamMasks

    image = make_image(90, 120)
    score = np.random.default_rng(0).random((90, 120), dtype=np.float32)

    served.send((image, score))
    answer = served.recv()

    assert isinstance(answer, KeyframeMasks), answer
    masks = SamMasks(sam, **options(PARAMETER)).generate(image)
    assert answer.count == len(masks) > 1
    expected = calibrate(score, masks)
    assert (expected != score).any()
    np.testing.assert_allclose(answer.cells.calibrate(score), expected, atol=1e-6)


def test_the_server_says_how_to_get_missing_weights(monkeypatch):
    monkeypatch.setattr(mask_server, "_leave_room_for_cas", lambda device: None)
    ours, theirs = multiprocessing.Pipe()
    ours.send(MaskGeneratorSpec("sam_vit_h", device="cpu"))
    mask_server.serve(theirs)
    failure = ours.recv()
    assert isinstance(failure, Failure)
    assert "objectomaly checkpoints download sam_vit_h" in failure.text
