"""Options and exit codes that several subcommands share."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from objectomaly_ros.files.reading import printable

DONE, FAILED, PARTLY = 0, 1, 3  # 2 is that of argparse
"""Exit codes: all well, nothing usable, done but some inputs failed."""

MODEL = "NAME[=CHECKPOINT][,OPTION=VALUE...]"
"""How help texts write a `ModelSpec`."""


def exit_code(done: int, failed: int) -> int:
    """Return the exit code for the numbers of inputs that were done and that failed."""
    if not done:
        return FAILED
    return PARTLY if failed else DONE


def report(command: str, text: str) -> None:
    """Print a line of a command to stderr; names in it cannot control the terminal."""
    print(f"objectomaly {command}: {printable(text)}", file=sys.stderr)


def positive(text: str) -> int:
    """Read an integer of at least 1, for `type=` of an option."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--device`, with the values of the node's parameter `device`."""
    parser.add_argument(
        "--device",
        default="auto",
        help="auto (a GPU if torch can use one, else the CPU), cpu, cuda or cuda:N; "
        "default: %(default)s",
    )


def above_zero(text: str) -> float:
    """Read a finite number above 0, for `type=` of an option."""
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def add_drive_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the drives, how they are read, and the rate of false obstacles that is wanted on them."""
    parser.add_argument(
        "drives",
        nargs="+",
        type=Path,
        metavar="DRIVE",
        help="a bag (folder, .mcap, .db3, ROS 1 .bag), a folder of JPEG or PNG images, or a video",
    )
    parser.add_argument("--topic", help="image topic of bags with several")
    parser.add_argument(
        "--rate",
        type=above_zero,
        metavar="HZ",
        help="rate of the images; default: the recording's, 10 for a folder of images",
    )
    parser.add_argument(
        "--false-alarms",
        type=above_zero,
        default=0.5,
        metavar="RATE",
        help="wanted false obstacles a minute; default: %(default)s",
    )


def add_rule_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--overlap` and `--residual`; the mask generator decides if they are None."""
    from objectomaly_ros.oasc import OVERLAPS  # loads NumPy and OpenCV

    parser.add_argument(
        "--overlap",
        choices=OVERLAPS,
        help="which mean a pixel under several masks takes: that of the largest mask (as in the "
        "paper), of the smallest, or of all masks, weighted by the inverse variance of the score "
        "in each; default: the mask generator's",
    )
    parser.add_argument(
        "--residual",
        type=float,
        metavar="SHARE",
        help="share of its own score that a pixel under masks keeps, 0 to 1; default: 0 (as in the "
        "paper) with --overlap, else the mask generator's",
    )
