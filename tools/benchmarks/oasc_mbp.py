"""Time OASC and MBP against the published loops in the same run (`make bench`).

    scripts/env python -m tools.benchmarks.oasc_mbp [oasc] [mbp]

Every section first checks that all sides give the same result, then times them in turns, so that a
busy machine slows all. Figures are medians. Ratios are loop over ours, of the wall clock and of
processor time (all threads), which other programs disturb less.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter, process_time

import cv2
import numpy as np
import numpy.typing as npt
import torch

from objectomaly_ros.demo.report import processor
from objectomaly_ros.gpu import mbp as gpu_mbp
from objectomaly_ros.gpu import oasc as gpu_oasc
from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.oasc import calibrate
from objectomaly_ros.types import Masks, ScoreMap
from objectomaly_ros.video.cells import Cells
from tools.benchmarks import published_loops
from tools.command import parser, run

HEIGHT, WIDTH, N_MASKS, COVERED = 720, 1280, 120, 0.75
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Row:
    """One line of the table; ratios are against the published loop."""

    section: str
    name: str
    wall_ms: float
    cpu_ms: float
    wall_ratio: float
    cpu_ratio: float
    max_difference: float | None = None


def synthetic_masks(rng: np.random.Generator, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> Masks:
    """Return N_MASKS ellipses, nested and overlapping, that cover about COVERED of the frame."""
    masks = np.zeros((N_MASKS, *shape), dtype=np.uint8)
    covered = np.zeros(shape, dtype=np.uint8)
    scale = shape[0] / HEIGHT
    center, axes, angle = (0, 0), (0, 0), 0.0
    for index, mask in enumerate(masks):
        share = (index + 1) / N_MASKS
        if index % 4 == 3:  # nested in the one before
            axes = (axes[0] // 2, axes[1] // 2)
            angle += 20
        else:
            free = np.argwhere(covered[::8, ::8] == 0) * 8
            y, x = free[rng.integers(len(free))]
            center = (int(x), int(y))
            side = 30 + 90 * rng.random() * (1 if covered.mean() < COVERED * share else 0.3)
            side *= scale
            axes = (int(side * rng.uniform(0.8, 1.6)), int(side))
            angle = float(rng.uniform(0, 180))
        cv2.ellipse(mask, center, axes, angle, 0, 360, 1, -1)
        covered |= mask
    return masks.astype(np.bool_)


def synthetic_score(rng: np.random.Generator, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> ScoreMap:
    """Return a smooth, slightly noisy map in 0..1, rounded to 1/4096; sides at least 40."""
    noise = rng.random((shape[0] // 40, shape[1] // 40)).astype(np.float32)
    smooth = cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_CUBIC)
    grainy = smooth + rng.normal(0, 0.01, smooth.shape)
    return (np.round(np.clip(grainy, 0, 1) * 4096) / 4096).astype(np.float32)


def compare(
    section: str,
    reference: Callable[[], npt.NDArray[np.float32]],
    ours: dict[str, Callable[[], object]],
    repeat: int,
) -> list[Row]:
    """Time `reference` and all of `ours` in turns; the maps of ours must be equal."""
    expected = reference()
    differences: dict[str, float | None] = {}
    for name, function in ours.items():
        result = function()
        differences[name] = None
        if isinstance(result, np.ndarray):
            differences[name] = difference = float(np.abs(result - expected).max())
            if not difference <= TOLERANCE:
                raise SystemExit(f"{section}: {name} is off by {difference:g}, nothing timed")
    functions: dict[str, Callable[[], object]] = {"published loop": reference, **ours}
    wall: dict[str, list[float]] = {name: [] for name in functions}
    cpu: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeat):
        for name, function in functions.items():
            start, cpu_start = perf_counter(), process_time()
            function()
            wall[name].append(perf_counter() - start)
            cpu[name].append(process_time() - cpu_start)
    wall_ms = {name: 1e3 * median(seconds) for name, seconds in wall.items()}
    cpu_ms = {name: 1e3 * median(seconds) for name, seconds in cpu.items()}
    return [
        Row(
            section,
            name,
            round(wall_ms[name], 3),
            round(cpu_ms[name], 3),
            round(wall_ms["published loop"] / wall_ms[name], 1),
            round(cpu_ms["published loop"] / cpu_ms[name], 1),
            differences.get(name),
        )
        for name in functions
    ]


def bench_oasc(repeat: int) -> list[Row]:
    """Time OASC from raw masks, the making of cells, and a frame with ready cells."""
    rng = np.random.default_rng(7)
    masks, score = synthetic_masks(rng), synthetic_score(rng)
    # SAM reports the area and the box of each mask.
    areas = masks.sum(axis=(1, 2))
    boxes = [cv2.boundingRect(mask) for mask in masks.view(np.uint8)]
    cells = Cells.from_masks(masks, score.shape)
    ids = cells.ids.copy()
    on_device, masks_there, areas_there = map(torch.from_numpy, (score, masks, areas))
    return compare(
        "OASC",
        lambda: published_loops.calibrate(score, masks, areas),
        {
            "Cells.calibrate (each frame)": lambda: cells.calibrate(score),
            "with ids moved (each moved frame)": lambda: cells.with_ids(ids).calibrate(score),
            "Cells.from_masks (each keyframe)": lambda: Cells.from_masks(masks, score.shape),
            "calibrate (masks never seen)": lambda: calibrate(score, masks, areas=areas),
            "calibrate (same, boxes given)": lambda: calibrate(
                score, masks, areas=areas, boxes=boxes
            ),
            "gpu.oasc on the CPU": lambda: gpu_oasc.calibrate(
                on_device, masks_there, areas=areas_there
            ).numpy(),
            "reading the masks once (floor)": lambda: masks.view(np.uint64).max(),
        },
        repeat,
    )


def bench_mbp(repeat: int) -> list[Row]:
    """Time MBP on a calibrated map."""
    rng = np.random.default_rng(7)
    calibrated = calibrate(score=synthetic_score(rng), masks=synthetic_masks(rng))
    on_device = torch.from_numpy(calibrated)
    return compare(
        "MBP",
        lambda: published_loops.refine_boundary(calibrated),
        {
            "refine_boundary": lambda: refine_boundary(calibrated),
            "gpu.mbp on the CPU": lambda: gpu_mbp.refine_boundary(on_device).numpy(),
        },
        repeat,
    )


SECTIONS: dict[str, Callable[[int], list[Row]]] = {"oasc": bench_oasc, "mbp": bench_mbp}


def machine() -> dict[str, object]:
    """Describe the machine."""
    return {
        "processor": processor(),
        "opencv": cv2.__version__,
        "opencv_threads": cv2.getNumThreads(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "numpy": np.__version__,
        "load_average": os.getloadavg()[0],
    }


def main() -> None:
    """Run the sections asked for and print their tables."""
    options = parser(__doc__)
    options.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all if none")
    options.add_argument("--repeat", type=int, default=7, help="runs; the median is shown")
    options.add_argument("--threads", type=int, help="threads OpenCV and torch may use")
    options.add_argument("--json", action="store_true", help="print JSON instead of the table")
    arguments = options.parse_args()
    unknown = set(arguments.sections) - set(SECTIONS)
    if unknown:
        options.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    if arguments.repeat < 1:
        options.error("--repeat must be at least 1")
    if arguments.threads is not None:
        cv2.setNumThreads(arguments.threads)
        torch.set_num_threads(arguments.threads)
    about = machine()
    rows = [
        row for name in arguments.sections or SECTIONS for row in SECTIONS[name](arguments.repeat)
    ]
    if arguments.json:
        table = {"machine": about, "rows": [asdict(row) for row in rows]}
        print(json.dumps(table, indent=2))
        return
    print("  ".join(f"{key} {value}" for key, value in about.items()))
    print(f"{HEIGHT}x{WIDTH}, {N_MASKS} masks, median of {arguments.repeat}")
    print(f"{'':6}{'':36}{'wall ms':>10}{'cpu ms':>10}{'ratio':>8}{'(cpu)':>8}{'max diff':>11}")
    for row in rows:
        off = "" if row.max_difference is None else f"{row.max_difference:.1e}"
        print(
            f"{row.section:6}{row.name:36}{row.wall_ms:10.2f}{row.cpu_ms:10.2f}"
            f"{row.wall_ratio:8.1f}{row.cpu_ratio:8.1f}{off:>11}"
        )


if __name__ == "__main__":
    run(main)
