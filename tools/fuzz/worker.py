"""Cases run in a process of their own, so that a crash, a hang or a flood of memory is found."""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

from tools.processes import memory_of, processor_s

Input = dict[str, Any]
MB = 2**20
START_S = 300.0
FORBIDDEN = {
    "os.exec", "os.fork", "os.forkpty", "os.link", "os.posix_spawn", "os.remove", "os.rename",
    "os.spawn", "os.symlink", "os.system", "socket.bind", "socket.connect", "subprocess.Popen",
}  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Workers are forked from a clean process that has the targets' modules, so that they start at once.
CONTEXT = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Target:
    """One way into the product.

    Attributes:
        name: of the target.
        make: makes the input of a case: a dictionary that JSON can hold, but for bytes. Its
            "files", by their paths, are written before `use`.
        use: takes the input and the folder of those files; any exception that is not in `refusals`
            is a finding.
        refusals: the exception types that are documented, exactly.
        modules: imported once, before the workers start.
        own_processes: `use` may start processes, write and open sockets.
    """

    name: str
    make: Callable[[Random], Input]
    use: Callable[[Input, Path], None]
    refusals: tuple[type[Exception], ...]
    modules: tuple[str, ...] = ()
    own_processes: bool = False


@dataclass(frozen=True)
class Limits:
    """What one case may take: seconds of the processor, seconds, and bytes more than before."""

    seconds: float = 5.0
    wall_s: float = 120.0
    memory: int = 1024 * MB


@dataclass
class Outcome:
    """What a case led to.

    Attributes:
        verdict: "accepted", "refused" or "finding".
        text: the words of the refusal, or what is wrong.
        place: where a finding arose, to tell one bug from another.
        given: the input.
        memory: bytes that the case took at its peak.
    """

    verdict: str
    text: str = ""
    place: str = ""
    given: Input = field(default_factory=dict)
    memory: int = 0


def preload(targets: Iterable[Target]) -> None:
    """Have the modules of these targets imported before the first worker starts."""
    modules = {module for target in targets for module in target.modules}
    CONTEXT.set_forkserver_preload([__name__, *sorted(modules)])


class Worker:
    """The parent's end of a worker process, which is started again after it had to be ended."""

    def __init__(self, target: Target, limits: Limits) -> None:
        self._target, self._limits = target, limits
        self._process: Any = None

    def run(self, case: str | Input) -> Outcome:
        """Run the case of a seed text, or of a given input.

        Raises:
            RuntimeError: there is no input, which is a bug of the fuzzer.
        """
        if self._process is None:
            self._start()
        given = case if isinstance(case, dict) else {}
        try:
            self._connection.send(case)
            given = self._answer(START_S, START_S)
            memory = memory_of(self._process.pid) + self._limits.memory
            outcome: Outcome = self._answer(self._limits.seconds, self._limits.wall_s, memory)
        except _EndedError as error:
            log = (self._sandbox / "log").read_text(errors="replace")[-3000:]
            self.close()
            if not given:
                raise RuntimeError(f"{self._target.name}, {case}: {error}\n{log}") from None
            where = re.search(r"File .*, line \d+", log)
            place = f"{error} {where[0] if where else ''}"
            return Outcome("finding", f"{error}\n{log}", place, given)
        outcome.given = given
        if outcome.verdict == "finding" and self._target.own_processes:
            self.close()
        return outcome

    def close(self) -> None:
        """End the worker and everything that it started."""
        if self._process is not None:
            self._connection.close()
            self._process.join(1)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
            self._process.join()
            self._process = None
            shutil.rmtree(self._sandbox, ignore_errors=True)

    def _start(self) -> None:
        self._sandbox = Path(tempfile.mkdtemp(prefix="objectomaly_fuzz_"))
        self._connection, theirs = CONTEXT.Pipe()
        arguments = theirs, self._target, self._sandbox, self._limits
        self._process = CONTEXT.Process(target=_serve, args=arguments)
        self._process.start()
        theirs.close()
        self._answer(START_S, START_S)

    def _answer(self, seconds: float, wall_s: float, memory: int = 2**63) -> Any:
        pid, began, used = self._process.pid, time.monotonic(), processor_s(self._process.pid)
        try:
            while not self._connection.poll(0.02):
                late = processor_s(pid) - used > seconds or time.monotonic() - began > wall_s
                if late or memory_of(pid) > memory:
                    os.kill(pid, signal.SIGABRT)  # its log then tells where it was
                    self._process.join(5)
                    took = f"{seconds:g} s" if late else f"{self._limits.memory // MB} MB"
                    raise _EndedError(f"took more than {took}")
            return self._connection.recv()
        except (EOFError, ConnectionError, FileNotFoundError, ProcessLookupError):
            self._process.join(10)
            code = self._process.exitcode or 0
            words = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise _EndedError(f"the process ended: {words}") from None


class _EndedError(Exception):
    """The worker ended, or had to be ended."""


def _serve(connection: Connection, target: Target, sandbox: Path, limits: Limits) -> None:
    """Run in the worker: answer every case with its input, then with its outcome."""
    os.setpgid(0, 0)
    for name in ("case", "cwd", "home", "tmp"):
        (sandbox / name).mkdir()
    os.chdir(sandbox / "cwd")
    os.environ.update(HOME=str(sandbox / "home"), TMPDIR=str(sandbox / "tmp"))
    tempfile.tempdir, sys.dont_write_bytecode = None, True
    log = (sandbox / "log").open("a", buffering=1)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    faulthandler.enable(log)
    watch = _Watch(sandbox)
    connection.send("ready")
    with contextlib.suppress(EOFError):
        while True:
            case = connection.recv()
            given = target.make(Random(case)) if isinstance(case, str) else case
            log.truncate(0)
            for name, content in given.get("files", {}).items():
                (sandbox / "case" / name).parent.mkdir(parents=True, exist_ok=True)
                (sandbox / "case" / name).write_bytes(content)
            connection.send(given)
            connection.send(_run(target, given, sandbox, watch, limits))
            shutil.rmtree(sandbox / "case")
            (sandbox / "case").mkdir()
    if target.own_processes:
        os.killpg(0, signal.SIGKILL)


def _run(target: Target, given: Input, sandbox: Path, watch: _Watch, limits: Limits) -> Outcome:
    files, memory = _files(sandbox), memory_of("self")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
    watch.events, watch.armed = [], not target.own_processes
    try:
        target.use(given, sandbox / "case")
        outcome = Outcome("accepted")
    except BaseException as error:
        outcome = _judged(error, target.refusals)
    watch.armed = False
    outcome.memory = memory_of("self", "VmHWM:") - memory
    changed = sorted({str(path.relative_to(sandbox)) for path, _ in _files(sandbox) ^ files})
    if watch.events or (changed and not target.own_processes):
        text = "; ".join([*watch.events, *changed][:5])
        outcome = Outcome("finding", f"touched {text}", text, memory=outcome.memory)
    elif outcome.memory > limits.memory:
        text = f"took {outcome.memory // MB} MB ({outcome.text})"
        outcome = Outcome("finding", text, "memory", memory=outcome.memory)
    return outcome


def _judged(error: BaseException, refusals: tuple[type[Exception], ...]) -> Outcome:
    text = str(error)
    if type(error) in refusals and len(text.split()) > 3:
        return Outcome("refused", text)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{type(error).__name__} at {frame.filename}:{frame.lineno}"
    lines = traceback.format_exception(error)
    return Outcome("finding", f"{type(error).__name__}: {text[:500]}\n{''.join(lines)}", place)


def _files(sandbox: Path) -> set[tuple[Path, tuple[int, int]]]:
    """Return everything in the sandbox but the log, files with size and time of change."""
    stats = {path: path.lstat() for path in sandbox.rglob("*") if path.name != "log"}
    return {
        (path, (0, 0) if path.is_dir() else (stat.st_size, stat.st_mtime_ns))
        for path, stat in stats.items()
    }


class _Watch:
    """Records what Python does outside of the sandbox while it is armed."""

    def __init__(self, sandbox: Path) -> None:
        self.events: list[str] = []
        self.armed = False
        self._inside = (str(sandbox), "/dev/")
        sys.addaudithook(self._take)

    def _take(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed or not (event == "open" or event in FORBIDDEN):
            return
        first = arguments[0] if arguments else None
        named = isinstance(first, str | bytes | os.PathLike)
        if event == "open" and not (named and (arguments[2] or 0) & WRITING):
            return
        if event in ("open", "os.remove", "os.rename") and os.path.abspath(  # noqa: PTH100
            os.fsdecode(first)
        ).startswith(self._inside):
            return
        self.events.append(f"{event}{arguments!r}"[:300])
