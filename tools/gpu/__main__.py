"""Prove and measure everything on a CUDA machine, within ten minutes.

    make gpu                              # in the environment of make env PROFILE=paper
    python -m tools.gpu                   # without ROS, in any environment with the extra [paper]
    python -m tools.gpu --tiny            # every step on tiny networks, also on a CPU: no figures

Steps: OASC and MBP against the host; the detector of the package; every detector against the
original code's numbers; SAM's masks against the official generator; CAS beside SAM in the node;
time and memory of every detector. A published checkpoint in the cache of `objectomaly checkpoints`
is used, else a stand-in with random weights. Goldens are read from the folder that
OBJECTOMALY_SHARED names, if it is there.

The folder of results gets index.html, gpu.json, and a file for each task. A task that is done and
whose sources did not change is not repeated: start it again after an interruption, after the time
was spent, or after a failure, and it goes on.

Exit codes: 0 all is measured and all checks hold, though goals may be missed; 1 a check does not
hold, or tasks failed or are left; 2 usage, or there is no CUDA device.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import time
from pathlib import Path

from tools.command import parser, run

SECONDS = 600.0


def main() -> int:
    """Run the tasks, and write the JSON and the page."""
    options = parser(__doc__)
    options.prog = "python -m tools.gpu"
    options.add_argument(
        "--out", type=Path, help="folder of results; gpu_output, or with --tiny gpu_output/tiny"
    )
    options.add_argument("--device", default="auto", help="a torch device; auto needs CUDA")
    options.add_argument("--tiny", action="store_true", help="networks that take milliseconds")
    options.add_argument("--seconds", type=float, default=SECONDS, help="for this run")
    options.add_argument(
        "--only", nargs="+", metavar="WORD", default=[],
        help="tasks whose name has all these words, such as sam sam_vit_b",
    )  # fmt: skip
    arguments = options.parse_args()
    if arguments.tiny:  # compiling takes longer than all else
        os.environ["TORCH_COMPILE_DISABLE"] = "1"
    import torch

    from objectomaly_ros.demo.report import processor
    from objectomaly_ros.models.devices import chosen_device, device_of
    from tools.gpu import page, plan, running
    from tools.gpu.rows import Settings

    device = chosen_device(arguments.device)
    if device == "cpu" and arguments.device == "auto" and not arguments.tiny:
        print(
            f"no CUDA device: torch {torch.__version__} sees none. `make gpu TINY=1` or "
            "`python -m tools.gpu --tiny` runs every step on tiny networks on this CPU; "
            "--device cpu measures the real ones, which takes hours.",
            file=sys.stderr,
        )
        return 2
    out = arguments.out or (Path("gpu_output/tiny") if arguments.tiny else Path("gpu_output"))
    settings = Settings(device, arguments.tiny, out.resolve())
    where = device_of(device)
    machine: dict[str, object] = {
        "device": torch.cuda.get_device_name(where) if where.type == "cuda" else "a CPU",
        "CUDA": torch.version.cuda or "none",
        "convolutions may use TF32": torch.backends.cudnn.allow_tf32,
        "python": platform.python_version(),
        **plan.versions(),
    }
    tasks = [
        task for task in plan.tasks(settings) if all(word in task.name for word in arguments.only)
    ]
    if not tasks:
        options.error(f"no task has the words {' '.join(arguments.only)}")

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    outcomes = running.run(tasks, settings, arguments.seconds, machine, say)
    about = {**machine, "processor": processor(), "written": time.strftime("%Y-%m-%d %H:%M")}
    report = page.Report(settings, about, outcomes)
    written = page.write(report)
    print("\n".join(report.verdict()))
    print("\n".join(str(path) for path in written))
    whole = all(outcome.state == running.DONE for outcome in outcomes)
    return int(bool(report.broken) or not whole)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the worker ends with us
    run(main)
