"""`objectomaly learn`: a normality memory from normal driving."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectomaly_ros.cli.options import (
    DONE,
    MODEL,
    add_device_argument,
    add_drive_arguments,
)

if TYPE_CHECKING:
    from objectomaly_ros.bags.drives import Drive
    from objectomaly_ros.types import Image


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "Drive for some minutes where the robot will work, without obstacles; what at most 5 % of\n"
        "the images show is not learnt. The memory holds the camera, the place and the weights\n"
        "that it was learnt with, and a threshold for the wanted rate of false obstacles.\n\n"
        "  objectomaly learn drive.mcap --out normal.safetensors\n"
        '  node: detector.options: ["memory=/path/normal.safetensors"]\n\n'
        "Exit codes: 0 learnt; 1 not learnt: the drive is too short, stands still or cannot be\n"
        "read; 2 usage."
    )
    add_drive_arguments(parser)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the memory, .safetensors"
    )
    parser.add_argument(
        "--detector", default="embedded", metavar=MODEL, help="default: %(default)s"
    )
    parser.add_argument(
        "--anyway", action="store_true", help="learn from a short or standing drive, too"
    )
    add_device_argument(parser)
    parser.add_argument("--json", action="store_true", help="print what was learnt as JSON")


def run(args: argparse.Namespace) -> int:
    """Learn, and write the memory."""
    from objectomaly_ros.bags.drives import open_drive
    from objectomaly_ros.detectors.memory import learn
    from objectomaly_ros.detectors.memory.learning import MOST_IMAGES
    from objectomaly_ros.evaluation.model_spec import ModelSpec

    drives = [open_drive(path, args.topic, args.rate) for path in args.drives]
    detector: Any = ModelSpec.parse(args.detector).detector(args.device)
    if getattr(detector, "memory", None) is not None:
        detector.use(None)
    count, seconds = sum(d.count for d in drives), sum(d.seconds for d in drives)
    every = max(1, -(-count // MOST_IMAGES))
    try:
        with ExitStack() as stack:
            memory = learn(
                detector,
                _images(drives, every, count / seconds, args.anyway),
                false_alarms_per_minute=args.false_alarms,
                rate_hz=count / seconds / every,
                progress=_Bars(stack, -(-count // every)),
            )
    except TypeError as error:  # a detector that cannot use a memory
        raise ValueError(str(error)) from error
    memory.save(args.out)
    found = memory.calibration
    if args.json:
        print(json.dumps({"file": str(args.out), "seconds": seconds, **vars(found)}))
    else:
        print(
            f"learnt from {found.images} images of {seconds:.0f} s into {args.out}: "
            f"{len(memory.index)} patches, threshold {found.threshold:.3f} for "
            f"{found.false_alarms_per_minute:g} false obstacles a minute"
        )
    return DONE


def _images(drives: Sequence[Drive], every: int, rate_hz: float, anyway: bool) -> Iterator[Image]:
    """Yield every n-th image of the drives; raise a ValueError at the end if they are unfit."""
    from objectomaly_ros.detectors.memory.fitness import Fitness

    fitness, index = Fitness(), 0
    for drive in drives:
        for image in drive.images(every):
            fitness.add(image, index * every / rate_hz)
            index += 1
            yield image
    problem = fitness.problem()
    if problem is not None and not anyway:
        raise ValueError(f"nothing is learnt: {problem}. --anyway learns all the same")


class _Bars:
    """One progress bar a step."""

    def __init__(self, stack: ExitStack, images: int) -> None:
        self._stack = stack
        self._images = images
        self._step = ""
        self._bar: Any = None

    def __call__(self, step: str, done: int, total: int) -> None:
        from tqdm import tqdm

        if step != self._step:
            self._stack.close()
            self._step = step
            size = total or self._images
            self._bar = self._stack.enter_context(
                tqdm(desc=step, total=size, unit="image", dynamic_ncols=True, disable=None)
            )
        self._bar.update(done + 1 - self._bar.n)
