"""Datasets are found in all known layouts, and errors explain a wrong folder."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image as Pillow

from objectomaly_ros.evaluation.datasets import KNOWN, DatasetError, find_datasets, open_dataset
from objectomaly_ros.evaluation.frame_files import (
    FrameError,
    read_image,
    read_instances,
    read_labels,
)


def put(path, size=(6, 4), value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = "label" in str(path.parent) or "gtCoarse" in str(path) or "_labels" in path.name
    array = np.full((size[1], size[0]) if labels else (size[1], size[0], 3), value, np.uint8)
    Pillow.fromarray(array).save(path)
    return path


@pytest.mark.parametrize(
    ("folder", "image", "labels", "name"),
    [
        ("RoadAnomaly21", "images/0.png", "labels_masks/0.png", "0"),
        ("RoadObsticle21", "images/1.webp", "labels_masks/1.png", "1"),
        ("RoadAnomaly", "images/2.jpg", "labels_masks/2.png", "2"),
        ("fs_static", "images/3.jpg", "labels_masks/3.png", "3"),
        ("FS_LostFound_full", "images/4.png", "labels_masks/4.png", "4"),
        (
            "dataset_AnomalyTrack",
            "images/validation0000.jpg",
            "labels_masks/validation0000_labels_semantic.png",
            "validation0000",
        ),
        (
            "dataset_ObstacleTrack",
            "images/validation_1.webp",
            "labels_masks/validation_1_labels_semantic.png",
            "validation_1",
        ),
        ("LostAndFound", "original/a.png", "labels/a.png", "a"),
        (
            "dataset_LostAndFound",
            "leftImg8bit/test/04_Weg_8/04_Weg_8_000000_000030_leftImg8bit.png",
            "gtCoarse/test/04_Weg_8/04_Weg_8_000000_000030_gtCoarse_labelIds.png",
            "test/04_Weg_8/04_Weg_8_000000_000030_leftImg8bit",
        ),
        (
            "fishyscapes",
            "leftImg8bit/test/04_Weg_8/04_Weg_8_000000_000030_leftImg8bit.png",
            "fishyscapes_lostandfound/0007_04_Weg_8_000000_000030_labels.png",
            "test/04_Weg_8/04_Weg_8_000000_000030_leftImg8bit",
        ),
        ("mine", "images/drive1/0001.jpg", "labels_masks/drive1/0001.png", "drive1/0001"),
    ],
)
def test_images_are_paired_with_their_labels_in_every_layout(tmp_path, folder, image, labels, name):
    root = tmp_path / folder
    put(root / image)
    put(root / labels)
    (dataset,) = find_datasets(root)
    assert dataset.name == folder
    (frame,) = dataset.frames
    assert (frame.name, frame.image, frame.labels) == (name, root / image, root / labels)
    assert dataset.notes == ()
    read_labels(frame.labels, dataset.conventions.label_values)


def test_a_folder_of_datasets_gives_all_or_those_named(tmp_path):
    for name in ("RoadAnomaly21", "fs_static"):
        put(tmp_path / name / "images" / "a.png")
        put(tmp_path / name / "labels_masks" / "a.png")
    (tmp_path / "notes").mkdir()
    assert [d.name for d in find_datasets(tmp_path)] == ["RoadAnomaly21", "fs_static"]
    assert [d.name for d in find_datasets(tmp_path, ["fs_static"])] == ["fs_static"]
    with pytest.raises(DatasetError, match=r"no dataset nope in .*RoadAnomaly21, fs_static"):
        find_datasets(tmp_path, ["nope"])


def test_label_values_follow_the_dataset(tmp_path):
    path = tmp_path / "labels_masks" / "a.png"
    path.parent.mkdir()
    Pillow.fromarray(np.array([[0, 1, 2, 255]], np.uint8)).save(path)
    road = read_labels(path, KNOWN["RoadAnomaly"].label_values)
    assert road.tolist() == [[0, 1, 1, 255]]
    lost = read_labels(path, KNOWN["dataset_LostAndFound"].label_values)
    assert lost.tolist() == [[255, 0, 1, 255]]
    with pytest.raises(FrameError, match=r"values 2; known here are 0, 1, 255.*--labels 2=anomaly"):
        read_labels(path)


def test_palette_labels_are_read_as_numbers(tmp_path):
    picture = Pillow.fromarray(np.array([[0, 1, 255]], np.uint8), mode="P")
    picture.putpalette([i % 256 for i in range(768)][::-1])
    picture.save(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png").tolist() == [[0, 1, 255]]


def test_hidden_test_labels_leave_the_validation_frames(tmp_path):
    root = tmp_path / "dataset_AnomalyTrack"
    for name in ("airplane0000", "validation0000"):
        put(root / "images" / f"{name}.jpg")
    put(root / "labels_masks" / "validation0000_labels_semantic.png")
    put(root / "labels_masks" / "validation0000_labels_semantic_color.png")
    dataset = open_dataset(root)
    assert [f.name for f in dataset.frames] == ["validation0000"]
    assert "1 of 2 images have no ground truth" in dataset.notes[0]


def test_the_official_validation_split_of_the_obstacle_track(tmp_path):
    root = tmp_path / "dataset_ObstacleTrack"
    for number in (18, 19, 20, 21, 29, 30):
        put(root / "images" / f"validation_{number}.webp")
        put(root / "labels_masks" / f"validation_{number}_labels_semantic.png")
    assert [f.name[-2:] for f in open_dataset(root).frames] == ["18", "20", "30"]


def test_missing_labels_stay_visible_and_orphans_are_noted(tmp_path):
    root = tmp_path / "mine"
    put(root / "images" / "a.png")
    put(root / "images" / "b.png")
    put(root / "images" / "b.jpg")
    put(root / "labels_masks" / "a.png")
    put(root / "labels_masks" / "zz.png")
    dataset = open_dataset(root)
    assert [(f.name, f.labels is None) for f in dataset.frames] == [("a", False), ("b", True)]
    assert "b.png is left out: b.jpg has the same name" in dataset.notes[0]
    assert "zz.png" in dataset.notes[1]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "found nothing, the folder is empty"),
        (["readme.txt"], "found readme.txt"),
        (["images/a.png"], "no folder of labels next to it"),
        (["labels_masks/a.png", "images/readme.txt"], "no images in"),
        (["labels_masks/b.png", "images/a.png"], r"expected for a.png one of a.png.*found b.png"),
    ],
)
def test_a_wrong_folder_says_what_was_expected_and_found(tmp_path, paths, message):
    for path in paths:
        if path.endswith(".txt"):
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text("x")
        else:
            put(tmp_path / path)
    with pytest.raises(DatasetError, match=message):
        find_datasets(tmp_path)


def test_no_folder_at_all(tmp_path):
    with pytest.raises(DatasetError, match="does not exist"):
        find_datasets(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatasetError, match="is a file"):
        find_datasets(tmp_path / "file")


def test_images_of_other_modes_become_rgb(tmp_path):
    Pillow.fromarray(np.full((2, 3), 7, np.uint8)).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png").tolist() == [[[7, 7, 7]] * 3] * 2
    Pillow.fromarray(np.full((2, 3, 4), 9, np.uint8)).save(tmp_path / "rgba.png")
    assert read_image(tmp_path / "rgba.png").shape == (2, 3, 3)
    deep = np.array([[0x1234, 0xFFFF]], np.uint16)
    for name, pixels in (("sixteen.png", deep), ("ten.png", deep >> 6)):
        Pillow.fromarray(pixels).save(tmp_path / name)
        assert read_image(tmp_path / name).tolist() == [[[0x12] * 3, [0xFF] * 3]]


def test_exif_orientation_is_obeyed(tmp_path):
    exif = Pillow.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Pillow.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (6, 4, 3)


def test_a_picture_that_claims_too_many_pixels_is_not_decoded(tmp_path):
    header = b"IHDR" + struct.pack(">IIBBBBB", 12_000, 5_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 9) + b"IDAT" + bytes(13))
    for read in (read_image, read_labels):
        with pytest.raises(FrameError, match="12000 x 5000 pixels"):
            read(path)


def test_postscript_named_png_is_not_handed_to_ghostscript(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", "gs")
    monkeypatch.setattr("subprocess.check_call", lambda *arguments, **_: ran.append(arguments))
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n")
    for read in (read_image, read_labels):
        with pytest.raises(FrameError, match="cannot be read"):
            read(path)
    assert not ran


@pytest.mark.parametrize(
    ("image", "labels", "instances"),
    [
        ("images/d/1.png", "labels_masks/d/1.png", "labels_instances/d/1.png"),
        ("images/1.jpg", "labels_masks/1.png", "labels_instances/1_instanceIds.png"),
        (
            "leftImg8bit/test/a/a_000000_000030_leftImg8bit.png",
            "gtCoarse/test/a/a_000000_000030_gtCoarse_labelIds.png",
            "gtCoarse/test/a/a_000000_000030_gtCoarse_instanceIds.png",
        ),
        (
            "leftImg8bit/test/a/04_a_000000_000030_leftImg8bit.png",
            "fishyscapes_lostandfound/0007_04_a_000000_000030_labels.png",
            "labels_instances/04_a_000000_000030_gtCoarse_instanceIds.png",
        ),
    ],
)
def test_instances_are_found_in_every_layout(tmp_path, image, labels, instances):
    put(tmp_path / image)
    put(tmp_path / labels)
    assert open_dataset(tmp_path).frames[0].instances is None
    put(tmp_path / instances)
    dataset = open_dataset(tmp_path)
    assert dataset.frames[0].instances == tmp_path / instances
    assert dataset.frames[0].labels == tmp_path / labels
    assert dataset.notes == ()


def test_frames_without_instances_among_others_are_noted(tmp_path):
    for name in ("a", "b", "c"):
        put(tmp_path / "images" / f"{name}.png")
        put(tmp_path / "labels_masks" / f"{name}.png")
    put(tmp_path / "labels_instances" / "a.png")
    (note,) = open_dataset(tmp_path).notes
    assert note.startswith("2 of 3 frames have no instance labels, the first is b: ")


def test_instances_are_ids_on_anomalous_pixels(tmp_path):
    ids = np.array([[0, 7, 26, 26_001, 40_000, 40_000]], np.uint16)
    labels = np.array([[1, 1, 1, 1, 1, 0]], np.uint8)
    for name in ("a.png", "a_instanceIds.png"):
        Pillow.fromarray(ids).save(tmp_path / name)
    assert read_instances(tmp_path / "a.png", labels).tolist() == [[0, 7, 26, 26_001, 40_000, 0]]
    # In the Cityscapes coding ids below 1000 are classes.
    coded = read_instances(tmp_path / "a_instanceIds.png", labels)
    assert coded.tolist() == [[0, 0, 0, 26_001, 40_000, 0]]
    Pillow.fromarray(ids.astype(np.uint8)).save(tmp_path / "b.png")
    assert read_instances(tmp_path / "b.png", labels).max() < 256
