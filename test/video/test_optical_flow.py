import cv2
import numpy as np
import pytest

from objectomaly_ros.video.cells import Cells
from objectomaly_ros.video.optical_flow import MAX_TRACKS, FlowPropagation


def texture(height=240, width=320, seed=0):
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, 0, 255, cv2.NORM_MINMAX)


def moved(image, dx, dy, zoom=1.0):
    height, width = image.shape[:2]
    matrix = np.float32(
        [[zoom, 0, dx + (1 - zoom) * width / 2], [0, zoom, dy + (1 - zoom) * height / 2]]
    )
    flags = cv2.INTER_NEAREST if image.ndim == 2 else cv2.INTER_LINEAR
    return cv2.warpAffine(
        image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT
    )


def blocks(height=240, width=320):
    ids = np.zeros((height, width), np.int32)
    ids[60:120, 60:130] = 1_000_003
    ids[100:180, 180:250] = 7
    return ids


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_without_motion_ids_stay_exactly():
    flow = FlowPropagation()
    image, ids = texture(), blocks()
    flow.step(image)
    key = flow.start()
    np.testing.assert_array_equal(flow.warp(key, ids), ids)
    for _ in range(3):
        flow.step(image)
    np.testing.assert_array_equal(flow.warp(key, ids), ids)


@pytest.mark.parametrize(("dx", "dy", "zoom"), [(3, 1, 1.0), (-2, 2, 1.0), (0, 0, 1.02)])
def test_ids_follow_the_image_over_ten_frames(dx, dy, zoom):
    image, ids = texture(), blocks()
    flow = FlowPropagation()
    flow.step(image)
    key = flow.start()
    for k in range(1, 11):
        flow.step(moved(image, k * dx, k * dy, zoom**k))
    warped = flow.warp(key, ids)
    truth = moved(ids.astype(np.float32), 10 * dx, 10 * dy, zoom**10).astype(np.int32)
    assert set(np.unique(warped)) <= {0, 7, 1_000_003}, "ids must never be blended"
    for value in (7, 1_000_003):
        assert iou(warped == value, truth == value) > 0.9
        assert iou(warped == value, truth == value) > iou(ids == value, truth == value)


def test_ids_of_another_resolution_keep_it():
    image, ids = texture(), blocks()
    flow = FlowPropagation()
    flow.step(image)
    key = flow.start()
    for k in range(1, 6):
        flow.step(moved(image, 4 * k, 0))
    full = flow.warp(key, ids)
    half = flow.warp(key, ids[::2, ::2])
    assert half.shape == (120, 160)
    assert half.dtype == np.int32
    assert iou(half == 7, full[::2, ::2] == 7) > 0.93


def test_what_the_keyframe_did_not_show_is_uncovered():
    image = texture()
    flow = FlowPropagation()
    flow.step(image)
    key = flow.start()
    ids = np.ones(image.shape[:2], np.int32)
    for k in range(1, 9):
        flow.step(moved(image, 5 * k, 0))  # 40 columns come in on the left
    warped = flow.warp(key, ids)
    assert (warped[20:-20, :25] == 0).mean() > 0.9
    assert (warped[20:-20, 60:] == 1).all()


def test_tracks_are_independent_and_start_where_they_are():
    image, ids = texture(), blocks()
    flow = FlowPropagation()
    flow.step(image)
    old = flow.start()
    for k in range(1, 4):
        flow.step(moved(image, 4 * k, 0))
    new = flow.start()
    np.testing.assert_array_equal(flow.warp(new, ids), ids)
    assert iou(flow.warp(old, ids) == 7, moved(ids.astype(np.float32), 12, 0) == 7) > 0.9
    flow.drop(old)
    flow.drop(old)
    assert old not in flow
    assert new in flow
    with pytest.raises(KeyError, match="has ended"):
        flow.warp(old, ids)


def test_a_new_image_size_and_a_reset_end_all_tracks():
    flow = FlowPropagation()
    flow.step(texture(120, 160))
    first = flow.start()
    flow.step(texture(240, 320))
    assert first not in flow
    second = flow.start()
    assert second != first
    flow.reset()
    assert second not in flow
    with pytest.raises(RuntimeError, match="step"):
        flow.start()


def test_a_caller_that_never_drops_costs_no_memory():
    flow = FlowPropagation()
    keys = []
    for _ in range(MAX_TRACKS + 5):
        flow.step(texture(60, 80))
        keys.append(flow.start())
    assert [key in flow for key in keys] == [False] * 5 + [True] * MAX_TRACKS
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("shape", [(1, 1), (8, 200), (33, 17), (1080, 1920)])
def test_any_image_size_works(shape):
    image = np.full((*shape, 3), 128, np.uint8)
    ids = np.full(shape, 5, np.int32)
    flow = FlowPropagation()
    flow.step(image)
    key = flow.start()
    flow.step(image)
    np.testing.assert_array_equal(flow.warp(key, ids), ids)


def test_moved_cells_calibrate_the_current_score_without_blending():
    """As the node does: the keyframe's cells, their ids moved, calibrate the frame's own score."""
    image, ids = texture(), blocks()
    masks = np.stack([ids == 7, ids == 1_000_003])
    flow = FlowPropagation()
    flow.step(image)
    key = flow.start()
    cells = Cells.from_masks(masks, ids.shape)
    for k in range(1, 6):
        flow.step(moved(image, 3 * k, k))
    score = np.random.default_rng(1).random(ids.shape).astype(np.float32)
    result = cells.with_ids(flow.warp(key, cells.ids)).calibrate(score)
    moved_masks = [flow.warp(key, mask.astype(np.int32)) > 0 for mask in masks]
    for mask in moved_masks:
        np.testing.assert_allclose(result[mask], score[mask].mean(dtype=np.float64), atol=1e-6)
    outside = ~np.any(moved_masks, axis=0)
    np.testing.assert_array_equal(result[outside], score[outside])


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match="scale is 0"):
        FlowPropagation(scale=0.0)
    with pytest.raises(ValueError, match="max_side is 8"):
        FlowPropagation(max_side=8)


def test_on_a_real_drive_flow_keeps_objects_that_holding_loses(shared_dir):
    """IoU of the objects' labels, moved by 5 frames at 15 Hz, against those frames' labels."""
    clip = shared_dir / "data/street_ood/clip_dev"
    paths = sorted((clip / "images").glob("*.jpg"))
    masks = [
        (cv2.imread(str(clip / "labels_masks" / f"{p.stem}.png"), cv2.IMREAD_UNCHANGED) == 1)
        for p in paths
    ]
    flow, keys, held, carried = FlowPropagation(), {}, [], []
    for k, path in enumerate(paths):
        flow.step(cv2.imread(str(path))[:, :, ::-1])
        if k % 5 == 0:
            if k:
                ids = masks[k - 5].astype(np.int32)
                held.append(iou(ids > 0, masks[k]))
                carried.append(iou(flow.warp(keys[k - 5], ids) > 0, masks[k]))
                flow.drop(keys[k - 5])
            keys[k] = flow.start()
    assert np.mean(carried) > 0.65
    assert np.mean(carried) > np.mean(held) + 0.2
