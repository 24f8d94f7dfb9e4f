"""Replays a drive through the node and shows what it found."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from objectomaly_ros import __version__
from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.demo import pictures, report
from objectomaly_ros.demo.accuracy import read_accuracy
from objectomaly_ros.demo.processes import ChildError
from objectomaly_ros.demo.replay import NODE, image_topic, replay
from objectomaly_ros.demo.source import Source, open_recording, render_drive
from objectomaly_ros.demo.timing import read_timing
from objectomaly_ros.runtime.environment import set_defaults

_OURS = ("drive", "result", "logs", "truth.npz", "latency.csv", "latency.png", "contact_sheet.png",
         "summary.json", "index.html", "overlay.webm", "overlay.mp4", "overlay.avi")  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo.

    Returns:
        The exit status: 0 done, 1 something failed (its log is shown), 130 interrupted.
    """
    set_defaults()
    options = _parser().parse_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has them ignored
        signal.signal(number, _interrupt)
    try:
        folder = _prepare(options.out)
        if options.bag is None:
            source = render_drive(folder, options.seconds or 20.0)
        else:
            source = open_recording(options.bag, options.topic, options.seconds)
        replay(source, folder, options.rate)
        page = show(source, folder, options.rate)
    except (BagError, ChildError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    print(f"Look at {page}")
    return 0


def show(source: Source, folder: Path, rate: float = 1.0) -> Path:
    """Write figures, pictures and the page of a finished replay; return the page.

    Raises:
        ChildError: the node published nothing.
        OSError: a file cannot be written.
    """
    with Bag(folder / "result") as result:
        topic = image_topic(source)
        timing = read_timing(result, topic)
        if not timing.frames:
            tail = (folder / "logs" / "node.log").read_text(errors="replace").splitlines()[-25:]
            raise ChildError("the node published nothing; the end of its log:\n" + "\n".join(tail))
        accuracy = read_accuracy(result, source.truth) if source.truth else None
        summary = report.summarise(source, rate, timing, accuracy)
        timing.save_csv(folder / "latency.csv")
        pictures.latency_plot(timing, folder / "latency.png")
        stamps = _telling_frames(source, result)
        pictures.contact_sheet(result, topic, stamps, source.truth, folder / "contact_sheet.png")
        span = (timing.frames[-1].stamp_ns - timing.frames[0].stamp_ns) / 1e9
        rate_hz = min(60.0, max(1.0, len(timing.frames) / span)) if span > 0 else 10.0
        video = pictures.overlay_video(result, folder / "overlay", rate_hz)
    report.write_summary(summary, folder / "summary.json")
    page = report.write_page(summary, folder, video)
    print("\n".join(report.headline(summary)))
    return page


def _telling_frames(source: Source, result: Bag, count: int = 8) -> list[int]:
    """Choose stamps: each unknown object at about 12 m; without truth, frames evenly spread."""
    stamps = pictures.stamps_of(result, f"{NODE}/score")
    best: dict[int, tuple[float, int]] = {}
    for stamp in stamps:
        known = source.truth.get(stamp) if source.truth else None
        for seen in known.objects if known else ():
            off = abs(seen.range_m - 12.0)
            if off < best.get(seen.truth_id, (6.0, 0))[0]:
                best[seen.truth_id] = (off, stamp)
    if best:
        return sorted({stamp for _, stamp in best.values()})[:count]
    return stamps[len(stamps) // (2 * count) :: max(1, len(stamps) // count)][:count]


def _prepare(folder: Path) -> Path:
    """Make the folder; of an earlier demo, remove only what a demo writes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _OURS:
        old = folder / name
        if old.is_dir():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
    return folder


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} makes no sense; give a number above 0")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m objectomaly_ros.demo",
        description="Replay a drive through refine_node and show what it found.",
    )
    add = parser.add_argument
    add("--version", action="version", version=f"objectomaly_ros {__version__}")
    add("--out", type=Path, default=Path("demo_output"), help="folder (default: %(default)s)")
    add("--bag", type=Path, help="a recording to replay (default: a drive is rendered)")
    add("--topic", help="its image topic, raw or compressed, if it has several")
    length = "seconds to render or replay (default: 20, or the whole recording)"
    add("--seconds", type=_positive, help=length)
    speed = "speed of the replay; below 1 on slow machines (default: %(default)s)"
    add("--rate", type=_positive, default=1.0, help=speed)
    return parser
