"""Replays a drive through the node and shows what it found."""

from __future__ import annotations

import argparse
import math
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, NoReturn

from objectomaly_ros import __version__
from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.make import write_frames_bag
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.demo import pictures, report
from objectomaly_ros.demo.accuracy import Accuracy, AccuracyMeter
from objectomaly_ros.demo.birds_eye import BirdsEye
from objectomaly_ros.demo.frames import SourceImages, read_frames
from objectomaly_ros.demo.page import write_page
from objectomaly_ros.demo.plot import latency_svg
from objectomaly_ros.demo.processes import ChildError
from objectomaly_ros.demo.progress import Progress
from objectomaly_ros.demo.replay import image_topic, replay
from objectomaly_ros.demo.reported import Reported, ReportedObstacles
from objectomaly_ros.demo.source import RATE_HZ, Source, is_pictures, open_recording, render_drive
from objectomaly_ros.demo.timing import Timing, read_timing, why_unrefined
from objectomaly_ros.files.writing import bytes_at, open_replacing
from objectomaly_ros.runtime.environment import set_defaults
from objectomaly_ros.types import Image

_MARKER = ".objectomaly_demo"
_OURS = ("drive", "result", "logs", "truth.npz", "latency.csv", "latency.svg", "latency.png",
         "contact_sheet.jpg", "contact_sheet.png", "summary.json", "index.html",
         "overlay.webm", "overlay.mp4", "overlay.avi")  # fmt: skip
# Seconds on one core of an EPYC Milan: to render a frame, to draw and encode one; to start.
_RENDER_S, _DRAW_S, _START_S = 0.16, 0.09, 8.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo.

    Returns:
        The exit status: 0 done, 1 something failed (its log is shown), 130 interrupted.
    """
    set_defaults()
    parser = _parser()
    options = parser.parse_args(argv)
    if options.topic and options.bag is None:
        parser.error(
            "--topic names a topic of a bag: give --bag, too (make demo BAG=... TOPIC=...)"
        )
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has them ignored
        signal.signal(number, _interrupt)
    progress = Progress()
    try:
        if options.bag is not None and _is_replaced(options.bag, options.out):
            raise OSError(
                f"{options.bag} would be removed with the earlier demo in {options.out}; write "
                "elsewhere: --out FOLDER (make demo DEMO_OUT=FOLDER)"
            )
        if options.params_file is not None and not options.params_file.is_file():
            raise OSError(
                f"no parameter file at {options.params_file}; `objectomaly calibrate` writes one"
            )
        pictures_given = options.bag is not None and is_pictures(options.bag)
        if options.bag is not None and not pictures_given:  # before an earlier demo is removed
            source = open_recording(options.bag, options.topic, options.seconds)
        folder = _prepare(options.out)
        if options.bag is None:
            seconds = options.seconds or 20.0
            frames = round(seconds * RATE_HZ)
            _announce(f"Renders a drive of {seconds:g} s", frames, seconds, options, frames)
            source = render_drive(folder, seconds, progress)
        else:
            if pictures_given:
                with progress.stage("making a bag of it"):
                    write_frames_bag(options.bag, folder / "drive", encoding="jpeg")
                source = open_recording(folder / "drive", options.topic, options.seconds)
            about = f"Takes {source.duration_s:.1f} s of {source.bag}"
            _announce(about, source.frames, source.duration_s, options)
        replay(source, folder, options.rate, progress, options.params_file)
        page = show(source, folder, options.rate, progress, options.params_file)
    except (BagError, ChildError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    print(f"Look at {page}")
    return 0


def _announce(
    what: str, frames: int, seconds: float, options: argparse.Namespace, rendered: int = 0
) -> None:
    """Say what happens, and about how long it takes."""
    cores = report.usable_cores()
    estimate = (
        rendered * _RENDER_S / cores
        + _START_S
        + seconds / options.rate
        + frames * _DRAW_S * (1 if cores > 1 else 1.5)
    )
    print(
        f"{what}, replays it through the real node at {options.rate:g} times its pace, and writes "
        f"pictures and figures to {options.out}/.\nAbout {math.ceil(estimate / 10) * 10} s on "
        f"{report.processor()}.",
        flush=True,
    )


def show(
    source: Source,
    folder: Path,
    rate: float = 1.0,
    progress: Progress | None = None,
    params: Path | None = None,
) -> Path:
    """Write figures, pictures and the page of a finished replay with these; return the page.

    Raises:
        ChildError: the node published nothing.
        OSError: a file cannot be written.
    """
    progress = progress or Progress()
    with Bag(folder / "result") as result:
        timing = read_timing(result, image_topic(source))
        if not timing.frames:
            tail = (folder / "logs" / "node.log").read_text(errors="replace").splitlines()[-25:]
            raise ChildError("the node published nothing; the end of its log:\n" + "\n".join(tail))
        with progress.stage("drawing", len(timing.frames), "frames") as bar:
            drawn = _draw(source, result, timing, folder, bar)
    timing.save_csv(folder / "latency.csv")
    svg = latency_svg(timing)
    with open_replacing(folder / "latency.svg", "w", encoding="utf-8") as file:
        file.write(svg)
    summary = report.summarise(source, rate, timing, drawn.accuracy, drawn.reported)
    summary["parameter_file"] = None if params is None else str(params)
    summary["recording_damage"] = drawn.damage
    log = folder / "logs" / "node.log"
    node_log = log.read_text(errors="replace") if log.exists() else ""
    summary["why_unrefined"] = why_unrefined(timing, node_log)
    summary["result_bytes"] = bytes_at(folder / "result")
    summary["demo_seconds"] = progress.seconds
    report.write_summary(summary, folder / "summary.json")
    page = write_page(
        summary, folder, video=drawn.video, poster=drawn.poster, above=drawn.above, plot=svg
    )
    print("\n".join(report.headline(summary)))
    return page


class Drawn(NamedTuple):
    """What one pass over the results gives; `damage` is that of the recording."""

    accuracy: Accuracy | None
    reported: list[Reported]
    video: Path | None
    poster: Image | None
    above: Image | None
    damage: str | None


def _draw(source: Source, result: Bag, timing: Timing, folder: Path, bar: Any) -> Drawn:
    """Compare all frames with the truth and draw them, in one pass over the results."""
    reported, poster = ReportedObstacles(), pictures.Poster()
    meter = AccuracyMeter(source.truth) if source.truth else None
    limits = pictures.score_limits(result)
    stamps = _telling_frames(source, [frame.stamp_ns for frame in timing.frames])
    sheet = pictures.ContactSheet(stamps, source.truth, limits)
    above = BirdsEye(stamps, source.truth)
    with Bag(source.bag) as drive, pictures.Video(folder / "overlay", _rate_hz(timing)) as video:
        images = SourceImages(drive, source.image_topic, from_log=source.stamps_from_log)
        for frame in read_frames(result):
            if meter is not None:
                meter.add(frame)
            reported.add(frame)
            above.add(frame)
            image = images.get(frame.stamp_ns)
            if image is not None:
                drawn = pictures.overlay(frame, image, limits)
                video.add(frame, drawn, limits)
                sheet.add(frame, image, drawn)
                poster.add(frame, drawn, limits)
            bar.update()
    sheet.save(folder / "contact_sheet.jpg")
    return Drawn(
        accuracy=meter.compute() if meter is not None else None,
        reported=reported.lasting(),
        video=video.path,
        poster=poster.picture,
        above=above.picture,
        damage=drive.damage or source.damage,
    )


def _rate_hz(timing: Timing) -> float:
    span = (timing.frames[-1].stamp_ns - timing.frames[0].stamp_ns) / 1e9
    return min(60.0, max(1.0, len(timing.frames) / span)) if span > 0 else 10.0


def _telling_frames(source: Source, stamps: Sequence[int], count: int = 8) -> list[int]:
    """Choose stamps: each unknown object at about 12 m; without truth, frames evenly spread."""
    best: dict[int, tuple[float, int]] = {}
    for stamp in stamps:
        known = source.truth.get(stamp) if source.truth else None
        for seen in known.objects if known else ():
            off = abs(seen.range_m - 12.0)
            if off < best.get(seen.truth_id, (6.0, 0))[0]:
                best[seen.truth_id] = (off, stamp)
    if best:
        return sorted({stamp for _, stamp in best.values()})[:count]
    return list(stamps)[len(stamps) // (2 * count) :: max(1, len(stamps) // count)][:count]


def _is_replaced(path: Path, folder: Path) -> bool:
    ours = ((folder / name).resolve() for name in _OURS)
    return any(path.resolve().is_relative_to(own) for own in ours)


def _prepare(folder: Path) -> Path:
    """Make the folder, and remove an earlier demo from it.

    Raises:
        OSError: it holds files with the names of a demo's that no demo wrote.
    """
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / _MARKER
    foreign = [name for name in _OURS if (folder / name).exists()]
    if foreign and not marker.exists():
        raise OSError(
            f"{folder} holds {', '.join(foreign)}, and no demo wrote that; name another folder: "
            "--out FOLDER (make demo DEMO_OUT=FOLDER)"
        )
    marker.touch()
    for name in _OURS:
        old = folder / name
        if old.is_dir():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
    return folder


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    for again in (signal.SIGINT, signal.SIGTERM):  # what follows ends the children, in seconds
        signal.signal(again, signal.SIG_IGN)
    raise KeyboardInterrupt


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text} makes no sense; give a number above 0, up to 1e6")
    return value


def _path(text: str) -> Path:
    """Read a path; ~ is the home folder, also where no shell expands it (make demo BAG=~/...)."""
    return Path(text).expanduser()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m objectomaly_ros.demo",
        description="Replay a drive through refine_node and show what it found.",
    )
    add = parser.add_argument
    add("--version", action="version", version=f"objectomaly_ros {__version__}")
    add("--out", type=_path, default=Path("demo_output"), help="folder (default: %(default)s)")
    add(
        "--bag",
        type=_path,
        help="a bag, a video or a folder of images to replay (default: a drive is rendered)",
    )
    add("--topic", help="its image topic, raw or compressed, if it has several")
    add(
        "--params-file",
        type=_path,
        help="parameter file of the node (default: config/embedded.yaml)",
    )
    length = "seconds to render or replay (default: 20, or the whole recording)"
    add("--seconds", type=_positive, help=length)
    speed = "speed of the replay; below 1 on slow machines (default: %(default)s)"
    add("--rate", type=_positive, default=1.0, help=speed)
    return parser
