"""The command: feeds every target, counts what happens, keeps what it finds."""

from __future__ import annotations

import base64
import importlib
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from objectomaly_ros.files.writing import open_replacing
from tools import command
from tools.fuzz.worker import MB, Limits, Outcome, Target, Worker, preload

HOMES = {
    "messages": ("images", "compressed"),
    "files": ("bags", "checkpoints", "scores"),
    "node": ("node", "node_compressed", "parameters", "transitions"),
}
KEPT = 3  # inputs of one and the same finding
PROGRESS_S = 10.0


@dataclass
class Tally:
    """What one target showed."""

    target: str
    seed: str
    cases: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)
    findings: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0
    memory: int = 0

    def add(self, outcome: Outcome) -> bool:
        """Count an outcome; tell whether it is a finding to keep."""
        self.cases += 1
        self.counts[outcome.verdict] += 1
        self.memory = max(self.memory, outcome.memory)
        if outcome.verdict != "finding":
            return False
        self.places[outcome.place] += 1
        self.findings.append(outcome)
        return self.places[outcome.place] <= KEPT


def find_target(name: str) -> Target:
    """Import a target by its name."""
    home = next(home for home, names in HOMES.items() if name in names)
    module = importlib.import_module(f"tools.fuzz.{home}")
    return next(target for target in module.TARGETS if target.name == name)


def fuzz(
    target: Target,
    seed: str,
    *,
    seconds: float,
    cases: int = 10**9,
    findings: int = 1000,
    out: Path | None = None,
) -> Tally:
    """Run cases of a target for some time, or so many.

    Args:
        target: to feed.
        seed: of all cases.
        seconds: after the first case, in which others may end.
        cases: at most.
        findings: after which it stops.
        out: a folder for the inputs of findings; None to keep none.
    """
    tally, worker = Tally(target.name, seed), Worker(target, Limits())
    began = told = time.monotonic()
    try:
        while tally.cases < cases and tally.counts["finding"] < findings:
            number = tally.cases
            outcome = worker.run(f"{seed} {target.name} {number}")
            if tally.add(outcome) and out is not None:
                path = save(out / f"{target.name}-{seed}-{number}.json", target.name, seed, outcome)
                print(f"{path}: {outcome.text.splitlines()[0]}", flush=True)
            now = time.monotonic()
            if not number:
                began = now  # the first case starts the worker
            elif now - began > seconds:
                break
            if out is not None and now - told > PROGRESS_S:
                told = now
                print(f"{target.name}: {tally.cases} cases", file=sys.stderr, flush=True)
    finally:
        worker.close()
    tally.seconds = time.monotonic() - began
    return tally


def save(path: Path, target: str, seed: str, outcome: Outcome) -> Path:
    """Write a finding, so that it can be replayed."""
    content = {"target": target, "seed": seed, "text": outcome.text, "input": outcome.given}
    with open_replacing(path, "w") as file:
        json.dump(content, file, default=lambda data: {"base64": base64.b64encode(data).decode()})
    return path


def replay(path: Path) -> int:
    """Run the input of a finding again; 1 if it is still one."""
    content = json.loads(
        path.read_text(),
        object_hook=lambda d: base64.b64decode(d["base64"]) if d.keys() == {"base64"} else d,
    )
    target = find_target(content["target"])
    preload([target])
    worker = Worker(target, Limits())
    try:
        outcome = worker.run(content["input"])
    finally:
        worker.close()
    print(f"{target.name}: {outcome.verdict}, {outcome.memory // MB} MB\n{outcome.text}")
    return int(outcome.verdict == "finding")


def table(tallies: list[Tally]) -> str:
    """Return the summary."""
    heads = "target", "cases", "accepted", "refused", "findings", "different", "cases/s", "peak MB"
    rows = [
        (t.target, t.cases, t.counts["accepted"], t.counts["refused"], t.counts["finding"],
         len(t.places), round(t.cases / max(t.seconds, 0.001), 1), t.memory // MB)
        for t in tallies
    ]  # fmt: skip
    return "\n".join(
        "".join(f"{cell!s:>12}" if column else f"{cell!s:<16}" for column, cell in enumerate(row))
        for row in (heads, *rows)
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 1 if anything was found."""
    parser = command.parser(__doc__)
    parser.prog = "python -m tools.fuzz"
    parser.add_argument("--minutes", type=float, default=1.0, help="for all targets together")
    parser.add_argument("--seed", default="1")
    names = [name for names in HOMES.values() for name in names]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="TARGET")
    parser.add_argument("--out", type=Path, help="folder for findings; a new temporary one if left")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run the input of a finding")
    options = parser.parse_args(arguments)
    if options.replay:
        return replay(options.replay)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the workers end with us
    targets = [find_target(name) for name in options.only]
    preload(targets)
    out = options.out or Path(tempfile.mkdtemp(prefix="objectomaly_findings_"))
    print(f"seed {options.seed}, findings go to {out}", flush=True)
    seconds = 60 * options.minutes / len(targets)
    tallies = [fuzz(target, options.seed, seconds=seconds, out=out) for target in targets]
    print(table(tallies))
    return int(any(tally.findings for tally in tallies))


if __name__ == "__main__":
    sys.exit(main())
