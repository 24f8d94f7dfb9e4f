"""`objectomaly refine`: refines the scores of images, ours or another detector's."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from objectomaly_ros.cli.options import MODEL, add_device_argument, add_rule_arguments, exit_code
from objectomaly_ros.files.reading import printable
from objectomaly_ros.files.writing import is_full, open_replacing

if TYPE_CHECKING:
    from objectomaly_ros.pipeline import Objectomaly
    from objectomaly_ros.types import Detector, Image, ScoreMap


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "Writes OUT/scores/NAME.npz (or in the format of the given score map) and\n"
        "OUT/overlays/NAME.jpg: image, coarse score, refined score. --scores takes coarse scores\n"
        "of another detector: npz, npy, 16-bit png or tif, of any range, named like the images.\n\n"
        "Exit codes: 0 all done; 3 some images failed (each is named), the others are done;\n"
        "1 none is done, or a model does not load; 2 usage. A full disk ends the command.\n\n"
        "  objectomaly refine images --scores my_scores --out refined"
    )
    parser.add_argument("images", type=Path, help="an image, or a folder, with its subfolders")
    parser.add_argument("--scores", type=Path, metavar="DIR", help="coarse score maps to refine")
    parser.add_argument("--key", help="array in .npz score maps with several")
    parser.add_argument(
        "--resize", action="store_true", help="scale score maps of another size to the image's"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="made if missing")
    parser.add_argument(
        "--detector", default="embedded", metavar=MODEL, help="without --scores; default: embedded"
    )
    parser.add_argument("--masks", default="regions", metavar=MODEL, help="default: regions")
    add_rule_arguments(parser)
    add_device_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Refine every image; name those that fail on stderr."""
    from tqdm import tqdm

    from objectomaly_ros.evaluation.model_spec import ModelSpec
    from objectomaly_ros.pipeline import Objectomaly

    images = _images(args.images)
    if args.scores is not None and not args.scores.is_dir():
        raise ValueError(f"there is no folder of score maps at {args.scores}")
    masks = ModelSpec.parse(args.masks).mask_generator(args.device)
    detector: Detector = (
        _Given() if args.scores else ModelSpec.parse(args.detector).detector(args.device)
    )
    pipeline = Objectomaly(detector, masks, overlap=args.overlap, residual=args.residual)
    args.out.mkdir(parents=True, exist_ok=True)
    done = failed = 0
    with tqdm(
        images.items(), unit="image", desc="refining", dynamic_ncols=True, disable=None
    ) as bar:
        for name, path in bar:
            try:
                _refine_one(pipeline, name, path, args)
                done += 1
            except Exception as error:
                # A user's model may raise anything, and succeed on the next image.
                reason = str(error) or type(error).__name__
                text = reason if str(path) in reason else f"{path}: {reason}"
                bar.write(f"objectomaly refine: {printable(text)}", file=sys.stderr)
                failed += 1
                if is_full(error):
                    break
    print(f"{done} of {len(images)} images refined into {args.out}")
    return exit_code(done, failed)


class _Given:
    """The detector of a pipeline whose scores are all given."""

    def score(self, image: Image) -> ScoreMap:
        raise ValueError("no score map was given for this image")


def _images(path: Path) -> dict[str, Path]:
    """Return the image files by name; raise ValueError if there is none."""
    from objectomaly_ros.evaluation.datasets import IMAGE_SUFFIXES, files_in

    if path.is_file():
        return {path.stem: path}
    if not path.is_dir():
        raise ValueError(f"there is no image and no folder at {path}")
    found: dict[str, Path] = {}
    for file in sorted(files_in(path, IMAGE_SUFFIXES)):
        name = file.relative_to(path).with_suffix("").as_posix()
        # Of a.jpg and a.png the second keeps its suffix, so that no output is lost.
        found[name if name not in found else file.relative_to(path).as_posix()] = file
    if not found:
        raise ValueError(f"no images in {path} (looked for {', '.join(IMAGE_SUFFIXES)})")
    return found


def _refine_one(pipeline: Objectomaly, name: str, path: Path, args: argparse.Namespace) -> None:
    from objectomaly_ros.detectors.score_files import (
        find_score_map,
        fitted,
        read_score_map,
        write_score_map,
    )
    from objectomaly_ros.evaluation.frame_files import read_image

    image = read_image(path)
    if args.scores is None:
        coarse, suffix = pipeline.coarse(image), ".npz"
    else:
        source = find_score_map(args.scores, name)
        coarse, suffix = read_score_map(source, args.key), source.suffix
        try:
            coarse = fitted(coarse, image, resize=args.resize, hint="--resize")
        except ValueError as error:
            raise ValueError(f"{source} {error}") from error
    refined = pipeline.refine(image, coarse).score
    write_score_map(args.out / "scores" / f"{name}{suffix}", refined)
    _write_overlay(args.out / "overlays" / f"{name}.jpg", image, coarse, refined)


def _write_overlay(path: Path, image: Image, coarse: ScoreMap, refined: ScoreMap) -> None:
    """Write image, coarse and refined score side by side, on one colour scale."""
    import cv2
    import numpy as np

    from objectomaly_ros.obstacles.overlay import draw_overlay

    low, high = (float(value) for value in np.percentile(coarse, (1, 99.9)))
    pictures = [
        draw_overlay(image, None, None, text=["image"]),
        draw_overlay(image, coarse, None, text=["coarse"], limits=(low, high)),
        draw_overlay(image, refined, None, text=["refined"], limits=(low, high)),
    ]
    sheet = cv2.cvtColor(np.concatenate(pictures, axis=1), cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", sheet)
    with open_replacing(path) as file:
        file.write(encoded.tobytes())
