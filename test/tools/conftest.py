"""A small drawn CamVid, in the folders that the training reads."""

from __future__ import annotations

import cv2
import numpy as np
import pytest


def street(rng):
    """Draw a street: image (120, 160, 3) uint8 RGB and its class ids."""
    label = np.zeros((120, 160), np.uint8)
    label[30:60] = 1
    label[60:] = 3
    label[60:, :30] = 4
    x = int(rng.integers(50, 110))
    label[50:80, x : x + 36] = 8
    label[100:110, 10:20] = 11
    colours = rng.integers(20, 230, (12, 3))
    image = np.clip(colours[label] + rng.normal(0, 6, (120, 160, 3)), 0, 255).astype(np.uint8)
    return image, label


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)

    def write(folder, labels, names, value):
        for part in ("images", labels):
            (root / folder / part).mkdir(parents=True)
        for name in names:
            image, label = street(rng)
            cv2.imwrite(str(root / folder / "images" / f"{name}.jpg"), image[..., ::-1])
            cv2.imwrite(str(root / folder / labels / f"{name}.png"), value(label))

    write("camvid/train", "labels", [f"A_{i:03}" for i in range(44)], lambda label: label)
    write("camvid/val", "labels", ["B_000", "B_001"], lambda label: label)
    # The training needs exactly the 40 frames to leave out.
    write("street_ood/dev_extra", "labels_masks", [f"A_{i:03}" for i in range(40)], np.zeros_like)
    ood = lambda label: np.where(label == 8, 1, 0).astype(np.uint8)  # noqa: E731
    write("street_ood/dev", "labels_masks", ["B_000", "B_001", "B_002"], ood)
    for folder in ("ood_objects", "ood_objects_imagenet"):
        (root / folder).mkdir()
        for index in range(3):
            bgra = rng.integers(0, 255, (60, 80, 4)).astype(np.uint8)
            bgra[..., 3] = 0
            bgra[10:50, 15:65, 3] = 255
            cv2.imwrite(str(root / folder / f"thing_{index}.png"), bgra)
    # Cityscapes' ids of the drawn classes; the car of `street` is the boxed obstacle.
    to_cityscapes = np.array([10, 2, 5, 0, 1, 8, 7, 4, 13, 11, 18, 255], np.uint8)
    real = "real_roads"
    write(real, "teacher", [f"iro_{i:04}" for i in range(8)], lambda label: to_cityscapes[label])
    write(f"{real}/us", "teacher", ["bdd_0"], lambda label: to_cityscapes[label])
    write(f"{real}/labelled", "labels", ["cs_0"], lambda label: to_cityscapes[label])
    (root / real / "masks").mkdir()
    rows = ["name,class,x,y,width,height"]
    for index in range(8):
        teacher = cv2.imread(str(root / real / "teacher" / f"iro_{index:04}.png"), 0)
        x, y, width, height = cv2.boundingRect((teacher == 13).astype(np.uint8))
        rows.append(f"iro_{index:04},animal,{x},{y},{width},{height}")
        if index < 5:
            mask = (teacher == 13).astype(np.uint8)
            cv2.imwrite(str(root / real / "masks" / f"iro_{index:04}.png"), mask)
    (root / real / "boxes.csv").write_text("\n".join(rows))
    return root
