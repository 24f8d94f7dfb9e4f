"""Export weights of the embedded detector as ONNX, and check the file against torch.

    scripts/env python -m tools.training.export_onnx [--checkpoint FILE.safetensors]

Writes FILE.onnx, by default the packaged one. Before that, torch and both runtimes, ONNX Runtime
and OpenCV, compute the score and the road margin (road where it is positive) of 20 images of every
folder of the data, at half the network's size. No score may differ by more than 1e-4, and a pixel
may change between road and no road only where its margin lies within 1e-3 of 0.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from safetensors import safe_open

from objectomaly_ros.detectors.embedded import TORCH_WEIGHTS, OnnxMaps, scale_image
from objectomaly_ros.detectors.embedded_torch import TorchMaps, load_network
from objectomaly_ros.detectors.onnx_network import OrtNetwork
from objectomaly_ros.detectors.opencv_network import OpenCvNetwork
from objectomaly_ros.files.writing import open_replacing
from objectomaly_ros.types import Image
from tools import SHARED
from tools.command import parser, run
from tools.labelled import names
from tools.training.embedded.onnx_export import export_onnx

MAX_SCORE, MAX_MARGIN = 1e-4, 1e-3
"""The largest differences of a score, and of a road margin where it changes its sign."""


def folders_of_images(data: Path, number: int) -> Iterator[tuple[str, list[Image]]]:
    """Yield name and `number` images, evenly chosen, of each folder of photographs."""
    paths = (path for path in data.rglob("*") if path.suffix in (".jpg", ".png"))
    wanted = {p.parent for p in paths if p.parent.name.startswith(("images", "ood_objects"))}
    for folder in sorted(wanted):
        files = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png"))
        chosen = np.unique(np.linspace(0, len(files) - 1, number).round().astype(int))
        images = (cv2.imread(str(files[index])) for index in chosen)
        colours = (cv2.cvtColor(image, cv2.COLOR_BGR2RGB) for image in images if image is not None)
        yield str(folder.relative_to(data)), [np.asarray(image, np.uint8) for image in colours]


def check(checkpoint: Path, onnx: Path, data: Path, number: int, short_side: int) -> bool:
    """Print how far each runtime is from torch on each folder; return whether it is near enough."""
    torch_maps = TorchMaps(checkpoint, "cpu", "float32")
    ours = {kind.__name__: OnnxMaps(onnx, kind(onnx)) for kind in (OrtNetwork, OpenCvNetwork)}
    print(f"{'worst differences from torch':34s}     images   score  margin  changed margin")
    fine = True
    for name, images in folders_of_images(data, number):
        scaled = [scale_image(image, short_side) for image in images]
        expected = [torch_maps(image) for image in scaled]
        for runtime, maps in ours.items():
            score = margin = changed = 0.0
            for image, (theirs, road) in zip(scaled, expected, strict=True):
                mine, mine_road = maps(image)
                score = max(score, float(np.abs(mine - theirs).max()))
                margin = max(margin, float(np.abs(mine_road - road).max()))
                other = (mine_road > 0) != (road > 0)
                changed = max(changed, float(np.abs(road[other]).max(initial=0)))
            print(f"{name:28s} {runtime:14s} {len(images):3d} {score:7.0e} {margin:7.0e} "
                  f"{changed:7.0e}", flush=True)  # fmt: skip
            fine &= score <= MAX_SCORE and changed <= MAX_MARGIN
    return fine


def main() -> int:
    """Export and check; return 1 if the file differs from torch."""
    p = parser(__doc__)
    p.add_argument("--checkpoint", type=Path, default=TORCH_WEIGHTS, help="default: %(default)s")
    p.add_argument("--data", type=Path, default=SHARED / "data", help="with the images to check on")
    p.add_argument("--images", type=int, default=20, help="of every folder")
    p.add_argument("--input-size", type=int, default=360)
    args = p.parse_args()
    for part in ("camvid/val", "street_ood/dev"):
        names(args.data / part)  # ends the process if there is none
    net, _ = load_network(args.checkpoint)
    with safe_open(args.checkpoint, framework="pt") as file:
        texts = file.metadata()
    out = args.checkpoint.with_suffix(".onnx")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / out.name
        export_onnx(net, path, texts)
        if not check(args.checkpoint, path, args.data, args.images, args.input_size):
            print(f"differs from torch; {out} is not written")
            return 1
        with open_replacing(out) as target:
            target.write(path.read_bytes())
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    run(main)
