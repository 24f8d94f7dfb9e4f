"""Options of the command that say how OASC joins the masks' means."""

from __future__ import annotations

import argparse

from objectomaly_ros.oasc import OVERLAPS


def add_rule_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--overlap` and `--residual`; None stands for what suits the mask generator."""
    parser.add_argument(
        "--overlap",
        choices=OVERLAPS,
        help="what a pixel under several masks takes: the mean of the largest (the paper's form), "
        "of the smallest, or of all, weighted by the score's agreement in each; default: what "
        "suits the mask generator",
    )
    parser.add_argument(
        "--residual",
        type=float,
        metavar="SHARE",
        help="share of its own score that a pixel under masks keeps, 0 to 1; default: 0 (the "
        "paper's form) with --overlap, else what suits the mask generator",
    )
