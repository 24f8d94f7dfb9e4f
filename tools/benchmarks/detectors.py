"""Times every detector on one frame, beside its plain float32 form in the same run.

    python -m tools.benchmarks.detectors --detector rba uno

Each form of a detector runs in a process of its own, so that memory is its own, and the forms take
turns frame by frame, so that a busy machine slows all alike. The weights are drawn from the
tensors' names: no checkpoint is needed, and the time does not depend on what was learned.

* plain: float32, deformable attention as transformers has it, all masks enlarged at once;
* ours: float32 as `load_detector` gives it;
* half: bfloat16 on a CPU that computes in it; float16 with torch.compile on CUDA.

The ratio is plain's time over the form's: on a CPU of processor time, all threads, which other work
on the machine disturbs less, on CUDA of the wall clock. Memory is what loading and running add to
the process (resident, peak), on CUDA the most that torch allocated. `attention` is deformable
attention's share of the time, `off` the mean difference of the score from the plain one as a share
of that one's range.

Rows come as they are measured. A detector that fails, for want of memory for instance, is left out
and named, the others go on, and the exit code is 1. The first frame warms up and does not count;
but where it takes long and --repeat is 1, the default, it is the only one, so that the whole table
takes minutes and not hours on a few CPU cores.
"""

from __future__ import annotations

import argparse
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

from objectomaly_ros.benchmark.measuring import timed_calls
from objectomaly_ros.detectors import load_detector
from objectomaly_ros.models.timing import Stopwatch
from objectomaly_ros.types import Detector, Image, ScoreMap

DETECTORS = ("embedded", "semantic", "mask2anomaly", "rba", "uno", "eam", "maskomaly", "rpl")
FORMS = ("plain", "ours", "half")
QUICK_S, SLOW_S = 2.0, 10.0
"""Every detector runs for QUICK_S of processor time at least; with --repeat 1 one whose frame takes
more than SLOW_S is not warmed up first."""


class FormError(RuntimeError):
    """A form of a detector could not be measured."""


@dataclass(frozen=True)
class Row:
    """One form of one detector; ratios and differences are against the plain form."""

    detector: str
    form: str
    wall_ms: float
    cpu_ms: float
    ratio: float
    memory_mb: float
    attention_share: float | None
    off: float


def forms(detector: str, device: str) -> tuple[str, ...]:
    """Return the forms that a detector comes in on a device."""
    if (
        device == "cpu"
    ):  # without such arithmetic bfloat16 takes minutes where float32 takes seconds
        halves = detector != "embedded" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    else:
        halves = True
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
    """Make a detector at its authors' size, in one of its `FORMS`."""
    if name == "embedded":
        precision = "float16" if form == "half" else "float32"
        return load_detector(name, device=device, fuse=form != "plain", precision=precision)
    if name == "semantic":
        return _semantic(device)
    cuda = torch.device(device).type == "cuda"
    half = "float16" if cuda else "bfloat16"
    options: dict[str, Any] = {
        "device": device,
        "precision": half if form == "half" else "float32",
        "compiled": cuda and form == "half",
    }
    detector: Any = _rpl(options) if name == "rpl" else _mask_classification(name, form, options)
    if cuda and form == "plain":
        network = detector._network.to(memory_format=torch.contiguous_format)
        detector._network = lambda pixels: network(pixels.contiguous())
    built: Detector = detector
    return built


def _mask_classification(name: str, form: str, options: dict[str, Any]) -> Any:
    from transformers.models.mask2former import modeling_mask2former as stock

    from objectomaly_ros.detectors import mask2former, score_rules
    from objectomaly_ros.detectors.mask_classification import RECIPES, MaskClassificationDetector

    if form == "plain":  # in this process only
        attention = stock.Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention
        vars(mask2former)["DeformableAttention"] = attention
        score_rules._CHUNK = 1000
    network = mask2former.Mask2FormerNetwork(RECIPES[name].architectures[0])
    fill(network)
    return MaskClassificationDetector(network, RECIPES[name], **options)


def _rpl(options: dict[str, Any]) -> Any:
    from objectomaly_ros.detectors.rpl import RplDetector
    from objectomaly_ros.detectors.rpl_net import RplNetwork

    network = RplNetwork()
    fill(network)
    return RplDetector(network, **options)


def _semantic(device: str) -> Detector:
    """One convolution of 19 classes at stride 8: what is measured is all around the network."""
    network = nn.Conv2d(3, 19, 8, stride=8)
    fill(network)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.pt"
        traced = torch.jit.trace(network.eval(), torch.zeros(1, 3, 64, 64))  # type: ignore[no-untyped-call]
        traced.save(str(path))
        return load_detector("semantic", checkpoint=path, device=device)


def street(height: int, width: int) -> Image:
    """Return an RGB frame of gradients, rectangles and noise."""
    random = np.random.default_rng(9)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    image = np.stack([60 + 120 * x, 50 + 130 * y, 90 + 60 * np.sin(6 * (x + 2 * y))], -1)
    for _ in range(14):
        top, left = random.integers(0, height - 40), random.integers(0, width - 40)
        rows, columns = random.integers(20, height // 2, 2)
        image[top : top + rows, left : left + columns] = random.integers(0, 256, 3)
    return np.clip(image + random.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Frame:
    """What one form of a detector answers: seconds, attention's share of them, bytes, score."""

    wall_s: float
    cpu_s: float
    attention_share: float | None
    memory: int
    score: ScoreMap


def serve(pipe: Connection, name: str, form: str, device: str, shape: tuple[int, int]) -> None:
    """Score the frame whenever asked, in a process of its own, until it is ended."""
    warnings.simplefilter("ignore")  # torch would rather see TorchScript gone
    image, before = street(*shape), _peak_bytes("cpu")
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
        memory = _peak_bytes(device) - (before if device == "cpu" else 0)
        pipe.send(Frame(wall, cpu, share, memory, score))


def _peak_bytes(device: str) -> int:
    if device != "cpu":
        return int(torch.cuda.max_memory_allocated(device))
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("memory is read from /proc/self/status, which this system does not have")


def bench(name: str, device: str, shape: tuple[int, int], repeat: int) -> list[Row]:
    """Run all forms of a detector in turns; return a row of each."""
    frames: dict[str, list[Frame]] = {form: [] for form in forms(name, device)}
    with (
        _served(name, tuple(frames), device, shape) as pipes,
        tqdm(desc=name, unit="frame", mininterval=0.5) as bar,
    ):
        while not _enough(frames["plain"], repeat):
            for form, pipe in pipes.items():
                # Which form runs is news where a frame takes long; else it would flood a log.
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
    """Run the forms of a detector in a process each, and end them all whatever happens."""
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
            theirs.close()  # so that the end of the process is the end of the pipe
            processes.append(process)
            _answer(pipes[form], f"{name} ({form})")
        yield pipes
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _enough(frames: list[Frame], repeat: int) -> bool:
    """Whether `repeat` frames after a first one are there, of quick detectors more."""
    if not frames:
        return False
    if repeat == 1 and frames[0].cpu_s > SLOW_S:
        return True  # one frame is all that is wanted of it, and none to warm up
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
                round(taken[-1].memory / 2**20),
                round(median(shares), 3) if shares else None,
                float(np.abs(taken[-1].score - plain).mean() / max(np.ptp(plain), 1e-9)),
            )
        )
    return rows


def _answer(pipe: Connection, whose: str) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        raise FormError(f"{whose} ended before it answered; what it said is above") from None


def main() -> int:
    """Bench the detectors asked for and print the table; 1 where one could not be measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--detector", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", type=int, nargs=2, default=(720, 1280), metavar=("H", "W"))
    parser.add_argument("--repeat", type=int, default=1, help="frames; their median is shown")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    arguments = parser.parse_args()
    height, width = arguments.size
    if arguments.repeat < 1 or min(height, width) < 80:
        parser.error("--repeat must be at least 1, both sides of --size at least 80")
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
        heads = (
            ("wall ms", 10),
            ("cpu ms", 10),
            ("ratio", 8),
            ("MB", 8),
            ("attention", 11),
            ("off", 10),
        )
        print(" " * 21 + "".join(f"{head:>{width}}" for head, width in heads), flush=True)
    rows: list[Row] = []
    failed: dict[str, str] = {}
    try:
        for name in arguments.detector:
            try:
                found = bench(name, arguments.device, (height, width), arguments.repeat)
            except FormError as error:
                failed[name] = str(error)
                print(f"bench_detectors: {error}", file=sys.stderr)
                continue
            rows += found
            if not arguments.json:
                print("\n".join(map(_line, found)), flush=True)
    finally:  # also what an interrupted run has measured is worth its time
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
    sys.exit(main())
