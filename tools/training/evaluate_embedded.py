"""Measure the embedded detector for its model card.

    scripts/env python -m tools.training.evaluate_embedded --out runs/look [--checkpoint FILE]

Prints as JSON: AuPRC and FPR95 on street_ood/dev and dev_extra, on dev under each condition of
`trials`, and on the real obstacles that training leaves out; at the threshold of 95 % recall on dev
the false-alarm area of each class on the clean frames of camvid/val, and the alarms on known
objects in place and pasted; milliseconds of an image, with 2 threads and with 1 (of an .onnx file;
torch takes OMP_NUM_THREADS). Writes contact sheets of the best and worst frames of dev, and of the
real obstacles, into --out.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from objectomaly_ros.cli.options import add_device_argument
from objectomaly_ros.detectors.embedded import EmbeddedDetector
from objectomaly_ros.models.devices import chosen_device
from tools import SHARED
from tools.command import need, parser, run
from tools.labelled import names, read_labelled
from tools.training.embedded.evaluate import Figures, evaluate, false_alarms, measure
from tools.training.embedded.paste_cue import paste_cue
from tools.training.embedded.pictures import write_sheets
from tools.training.embedded.trials import CONDITIONS, labelled, real_obstacles


def milliseconds(detectors: dict[int, EmbeddedDetector], folder: Path) -> dict[str, float]:
    """Return the median and shortest time of 40 images, by the number of threads."""
    image, _ = read_labelled(folder, names(folder)[0], "labels")
    result = {}
    for threads, detector in detectors.items():
        times = []
        for _ in range(43):
            start = time.perf_counter()
            detector.score(image)
            times.append(1e3 * (time.perf_counter() - start))
        result[f"median_{threads}_threads"] = round(statistics.median(times[3:]), 1)
        result[f"min_{threads}_threads"] = round(min(times[3:]), 1)
    return result


def in_percent(figures: Figures) -> str:
    """Return AuPRC and FPR95 as a short text."""
    return f"{100 * figures.auprc:.1f}/{100 * figures.fpr95:.1f}"


def main() -> None:
    """Measure, print and draw."""
    p = parser(__doc__)
    p.add_argument("--data", type=Path, default=SHARED / "data")
    p.add_argument("--checkpoint", type=Path, help="default: the packaged weights")
    add_device_argument(p)
    p.add_argument("--input-size", type=int, default=360)
    p.add_argument("--out", type=Path, help="folder for the pictures")
    args = p.parse_args()
    street, val = args.data / "street_ood", args.data / "camvid" / "val"
    roads = args.data / "real_roads"
    need(street / "dev", street / "dev_extra", val, roads)
    device = chosen_device(args.device, args.checkpoint)
    detectors = {
        threads: EmbeddedDetector(
            args.checkpoint, device, input_size=args.input_size, threads=threads
        )
        for threads in (2, 1)
    }
    detector = detectors[2]
    dev = evaluate(detector.score, street / "dev")
    level = dev.threshold_recall95
    conditions = {
        name: in_percent(measure(detector.score, labelled(street / "dev", name)))
        for name in tqdm(CONDITIONS, "conditions")
    }
    report = {
        "dev": asdict(dev),
        "dev_extra": asdict(evaluate(detector.score, street / "dev_extra")),
        "conditions": conditions,
        "real_obstacles": in_percent(measure(detector.score, real_obstacles(roads))),
        "false_alarms_on_val": false_alarms(detector.score, val, level),
        "alarms_on_known_objects_of_val": paste_cue(detector.score, val, level),
        "milliseconds": milliseconds(detectors, val),
    }
    print(json.dumps(report, indent=2))
    if args.out:
        frames = list(labelled(street / "dev"))
        write_sheets(detector.score, frames, args.out, "dev")
        write_sheets(detector.score, list(real_obstacles(roads)), args.out, "real")


if __name__ == "__main__":
    run(main)
