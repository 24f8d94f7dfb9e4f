"""Time every detector on one frame, against its plain float32 form in the same run.

    scripts/env python -m tools.benchmarks.detectors --detector rba uno

Forms, each in a process of its own, in turns frame by frame, so that a busy machine slows all:

* plain: float32, deformable attention as in transformers, all masks enlarged at once;
* ours: float32 as `load_detector` gives it; of `embedded` on a CPU, ONNX Runtime;
* half: bfloat16 on a CPU that computes in it; float16 with torch.compile on CUDA.

Weights are drawn from the names of the tensors: no checkpoint is needed. Columns: `ratio` is the
time of plain over that of the form, processor time on a CPU and wall clock on CUDA; `MB` is the
peak memory that loading and running add (on CUDA what torch allocated); `attention` is the share of
deformable attention in the time; `off` is the mean difference of the score from plain's, as a share
of its range.

A detector that fails is named, the others go on, and the exit code is 1. The first frame warms up
and does not count, unless it takes long and --repeat is 1 (the default).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from objectomaly_ros.benchmark.measuring import PeakMemory, timed_calls
from objectomaly_ros.benchmark.street import draw_street
from objectomaly_ros.cli.options import add_device_argument
from objectomaly_ros.detectors import load_detector
from objectomaly_ros.detectors.architectures import Architecture
from objectomaly_ros.detectors.embedded import TORCH_WEIGHTS
from objectomaly_ros.models.devices import chosen_device
from objectomaly_ros.models.timing import Stopwatch
from objectomaly_ros.types import Detector, ScoreMap
from tools.command import parser, run

DETECTORS = ("embedded", "semantic", "mask2anomaly", "rba", "uno", "eam", "maskomaly", "rpl")
FORMS = ("plain", "ours", "half")
QUICK_S, SLOW_S = 2.0, 10.0
"""Every detector runs for at least QUICK_S of processor time; with --repeat 1 one whose frame takes
more than SLOW_S is not warmed up."""


class FormError(RuntimeError):
    """A form of a detector could not be measured."""


@dataclass(frozen=True)
class Row:
    """One form of one detector, against the plain form."""

    detector: str
    form: str
    wall_ms: float
    cpu_ms: float
    ratio: float
    memory_mb: float
    attention_share: float | None
    off: float


def forms(detector: str, device: str) -> tuple[str, ...]:
    """Return the forms of a detector on a device."""
    # A CPU without bfloat16 arithmetic takes minutes for what takes seconds in float32.
    halves = device != "cpu" or (
        detector != "embedded" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
    return FORMS if halves and detector != "semantic" else FORMS[:2]


def fill(network: nn.Module) -> None:
    """Give every tensor reproducible values that keep activations in half precision's range."""
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue
        draw = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        if tensor.ndim > 1:
            tensor.normal_(0, tensor[0].numel() ** -0.5, generator=draw)
        else:
            tensor.fill_(float(name.endswith(("weight", "running_var"))))


def build(name: str, form: str, device: str) -> Detector:
    """Return a detector of the authors' size, in one of its `FORMS`."""
    if name == "embedded":
        checkpoint = TORCH_WEIGHTS if form == "plain" else None
        precision = "float16" if form == "half" else "float32"
        return load_detector(name, checkpoint, device, precision=precision)
    if name == "semantic":
        return semantic_stand_in(device)
    cuda = torch.device(device).type == "cuda"
    half = "float16" if cuda else "bfloat16"
    options: dict[str, Any] = {
        "device": device,
        "precision": half if form == "half" else "float32",
        "compiled": cuda and form == "half",
    }
    if form == "plain" and name != "rpl":
        _make_plain()
    detector: Any = stand_in(name, **options)
    if cuda and form == "plain":
        network = detector._network.to(memory_format=torch.contiguous_format)
        detector._network = lambda pixels: network(pixels.contiguous())
    built: Detector = detector
    return built


def _make_plain() -> None:
    """Run mask-classification networks in their plain form, in this process only."""
    from transformers.models.mask2former import modeling_mask2former as stock

    from objectomaly_ros.detectors import mask2former, score_rules

    attention = stock.Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention
    vars(mask2former)["DeformableAttention"] = attention
    score_rules._CHUNK = 1000


def stand_in(
    name: str, architecture: Architecture | None = None, rpl_width: int = 64, **options: Any
) -> Detector:
    """Return a detector of a paper with stand-in weights.

    Args:
        name: of `RECIPES`, or `rpl`.
        architecture: of a mask-classification network; None for the authors' own.
        rpl_width: see `RplNetwork`; 64 is the authors' own.
        **options: of the detector, such as `device` and `precision`.
    """
    if name == "rpl":
        from objectomaly_ros.detectors.rpl import RplDetector
        from objectomaly_ros.detectors.rpl_net import RplNetwork

        network = RplNetwork(rpl_width)
        fill(network)
        return RplDetector(network, **options)
    from objectomaly_ros.detectors.mask2former import Mask2FormerNetwork
    from objectomaly_ros.detectors.mask_classification import RECIPES, MaskClassificationDetector

    classifier = Mask2FormerNetwork(architecture or RECIPES[name].architectures[0])
    fill(classifier)
    return MaskClassificationDetector(name, classifier, **options)


def semantic_stand_in(device: str) -> Detector:
    """Return one convolution of 19 classes at stride 8: everything but the network is measured."""
    network = nn.Conv2d(3, 19, 8, stride=8)
    fill(network)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.pt"
        traced = torch.jit.trace(network.eval(), torch.zeros(1, 3, 64, 64))  # type: ignore[no-untyped-call]
        traced.save(str(path))
        return load_detector("semantic", checkpoint=path, device=device)


@dataclass(frozen=True)
class Frame:
    """What one form of a detector answers; `attention_share` is of `wall_s`."""

    wall_s: float
    cpu_s: float
    attention_share: float | None
    memory_mb: float
    score: ScoreMap


def serve(pipe: Connection, name: str, form: str, device: str, shape: tuple[int, int]) -> None:
    """Score the frame for every request, until the process is ended."""
    warnings.simplefilter("ignore")  # torch warns that TorchScript is deprecated
    image, memory = draw_street(*shape), PeakMemory(torch.device(device))
    before = memory.megabytes() or 0.0
    detector = build(name, form, device)
    compiled = form == "half" and device != "cpu"  # hooks would break the compiled graph apart
    network = None if compiled else getattr(detector, "_network", None)
    modules = network.modules() if isinstance(network, nn.Module) else ()
    attention = [m for m in modules if "DeformableAttention" in type(m).__name__]
    pipe.send("ready")
    while True:
        pipe.recv()
        watch = Stopwatch("frame", "attention", device=torch.device(device))
        with ExitStack() as stack:
            for module in attention:
                stack.enter_context(timed_calls(module, "forward", watch, "attention"))
            cpu = process_time()
            with watch.stage("frame"):
                score = detector.score(image)
            cpu = process_time() - cpu
        seconds = watch.seconds()
        wall = seconds["frame"]
        share = seconds["attention"] / wall if attention else None
        pipe.send(Frame(wall, cpu, share, (memory.megabytes() or before) - before, score))


def bench(name: str, device: str, shape: tuple[int, int], repeat: int) -> list[Row]:
    """Run all forms of a detector in turns; return a row of each."""
    frames: dict[str, list[Frame]] = {form: [] for form in forms(name, device)}
    with (
        _served(name, tuple(frames), device, shape) as pipes,
        tqdm(desc=name, unit="frame", mininterval=0.5) as bar,
    ):
        while not _enough(frames["plain"], repeat):
            for form, pipe in pipes.items():
                # Name the running form only if a frame takes long, else logs fill up.
                bar.set_postfix_str(form, refresh=not frames[form] or frames[form][0].wall_s > 1)
                pipe.send(True)
                frames[form].append(_answer(pipe, f"{name} ({form})"))
                bar.update()
    counted = slice(1 if len(frames["plain"]) > 1 else 0, None)
    return _rows(name, device, {form: taken[counted] for form, taken in frames.items()})


@contextmanager
def _served(
    name: str, wanted: tuple[str, ...], device: str, shape: tuple[int, int]
) -> Iterator[dict[str, Connection]]:
    """Run each form of a detector in a process, and end the processes in any case."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    processes = []
    try:
        for form in wanted:
            pipes[form], theirs = context.Pipe()
            process = context.Process(
                target=serve, args=(theirs, name, form, device, shape), daemon=True
            )
            process.start()
            theirs.close()  # the pipe then ends with the process
            processes.append(process)
            _answer(pipes[form], f"{name} ({form})")
        yield pipes
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _enough(frames: list[Frame], repeat: int) -> bool:
    """Tell whether `repeat` frames follow the first one; quick detectors run longer."""
    if not frames:
        return False
    if repeat == 1 and frames[0].cpu_s > SLOW_S:
        return True
    return len(frames) > repeat and sum(frame.cpu_s for frame in frames) > QUICK_S


def _rows(name: str, device: str, frames: dict[str, list[Frame]]) -> list[Row]:
    wall = {form: 1e3 * median(frame.wall_s for frame in taken) for form, taken in frames.items()}
    cpu = {form: 1e3 * median(frame.cpu_s for frame in taken) for form, taken in frames.items()}
    time = cpu if device == "cpu" else wall
    plain = frames["plain"][-1].score
    rows = []
    for form, taken in frames.items():
        shares = [frame.attention_share for frame in taken if frame.attention_share is not None]
        rows.append(
            Row(
                name,
                form,
                round(wall[form], 1),
                round(cpu[form], 1),
                round(time["plain"] / time[form], 2),
                round(taken[-1].memory_mb),
                round(median(shares), 3) if shares else None,
                float(np.abs(taken[-1].score - plain).mean() / max(np.ptp(plain), 1e-9)),
            )
        )
    return rows


def _answer(pipe: Connection, whose: str) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        raise FormError(f"{whose} ended before it answered; its output is above") from None


def main() -> int:
    """Measure and print; return 1 if a detector could not be measured."""
    options = parser(__doc__)
    options.add_argument("--detector", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    add_device_argument(options)
    options.add_argument("--size", type=int, nargs=2, default=(720, 1280), metavar=("H", "W"))
    options.add_argument("--repeat", type=int, default=1, help="frames; their median is shown")
    options.add_argument("--json", action="store_true", help="print JSON instead of the table")
    arguments = options.parse_args()
    arguments.device = chosen_device(arguments.device)
    height, width = arguments.size
    if arguments.repeat < 1 or min(height, width) < 80:
        options.error("--repeat must be at least 1, both sides of --size at least 80")
    about = {
        "device": arguments.device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load_average": round(os.getloadavg()[0], 1),
        "frame": f"{height}x{width}",
        "frames": arguments.repeat,
    }
    if not arguments.json:
        print("  ".join(f"{key} {value}" for key, value in about.items()))
        heads = f"{'wall ms':>10}{'cpu ms':>10}{'ratio':>8}{'MB':>8}{'attention':>11}{'off':>10}"
        print(f"{'':21}{heads}", flush=True)
    rows: list[Row] = []
    failed: dict[str, str] = {}
    try:
        for name in arguments.detector:
            try:
                found = bench(name, arguments.device, (height, width), arguments.repeat)
            except FormError as error:
                failed[name] = str(error)
                print(f"detectors: {error}", file=sys.stderr)
                continue
            rows += found
            if not arguments.json:
                print("\n".join(map(_line, found)), flush=True)
    finally:  # an interrupted run prints what it has measured
        if arguments.json:
            measured = [asdict(row) for row in rows]
            print(json.dumps({"machine": about, "rows": measured, "failed": failed}, indent=2))
    return 1 if failed else 0


def _line(row: Row) -> str:
    share = "" if row.attention_share is None else f"{row.attention_share:.0%}"
    return (
        f"{row.detector:14}{row.form:7}{row.wall_ms:10.1f}{row.cpu_ms:10.1f}"
        f"{row.ratio:8.2f}{row.memory_mb:8.0f}{share:>11}{row.off:10.1e}"
    )


if __name__ == "__main__":
    run(main)
