"""The command `objectomaly`: runs a subcommand and turns errors into exit codes."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType

from objectomaly_ros import __version__

FAILED, INTERRUPTED = 1, 130

# Name -> its line of help. The module of the same name has `add_arguments(parser)` and
# `run(args) -> int`, and is imported only when it is asked for: `--help` does not wait for torch.
COMMANDS = {
    "bag": "score and refine every frame of recordings, bag to bag",
    "benchmark": "time mask generation against the official generator",
    "calibrate": "find a detector's threshold for a wanted rate of false obstacles",
    "checkpoints": "list, download, verify and convert published checkpoints",
    "doctor": "find what is missing or wrong, in the installation or in a running graph",
    "evaluate": "measure detectors, after every stage, on road-anomaly datasets",
    "learn": "learn from normal driving what is no obstacle",
    "refine": "refine images, or another detector's score maps, folder by folder",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: the arguments; default those of the process.

    Returns:
        0 all well; 1 nothing usable (one line on stderr says why); 2 wrong usage; 3 done, but some
        inputs failed; 130 interrupted.
    """
    if argv is None and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    from objectomaly_ros.bags.errors import BagError
    from objectomaly_ros.models.extras import naming_extra
    from objectomaly_ros.runtime.environment import set_defaults

    arguments = list(sys.argv[1:] if argv is None else argv)
    asked = next((a for a in arguments if not a.startswith("-")), "")
    try:
        _open_standard_streams()
        set_defaults()
        with naming_extra("the command"):
            args = build_parser(asked).parse_args(arguments)
            code = int(args.run(args))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt as interrupt:
        print("; ".join(["objectomaly: interrupted", *interrupt.args]), file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, ImportError, IndexError, BagError) as error:
        # Faults that the user can mend: files, options, packages. Any other is ours, and its
        # traceback is wanted.
        if isinstance(error, OSError) and _is_of_stdout(error):
            # Else Python flushes the rest at its end, and fails again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # the reader (head, less) has seen enough
            from objectomaly_ros.cli.options import report  # imports NumPy

            report(asked, _reason(error))
        return FAILED


def build_parser(*asked: str) -> argparse.ArgumentParser:
    """Return the command's parser, which knows the options of the subcommands `asked` for."""
    parser = argparse.ArgumentParser(
        prog="objectomaly",
        description="Finds obstacles that no training set named (Objectomaly, arXiv 2507.07460)",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name in asked:
            module = import_module(f"objectomaly_ros.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise a KeyboardInterrupt, or end at once where a traceback would be all that comes of it.

    That is during an import, outside of `main`, and while a first interrupt is handled.
    """
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    inside = False
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            break
        inside = inside or frame.f_code is main.__code__
        frame = frame.f_back
    if frame is not None or not inside:
        os._exit(INTERRUPTED)
    raise KeyboardInterrupt


def _open_standard_streams() -> None:
    """Open /dev/null for each closed standard stream, whose number the next file would take."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    # Not the numbers 1 and 2: libffi, which Python 3.14 loads early, may hold one of them.
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def _is_of_stdout(error: OSError) -> bool:
    """Tell from all errors of files, which name their file, that of `print`, which names none."""
    return error.filename is None and error.strerror == os.strerror(error.errno or 0)


def _reason(error: Exception) -> str:
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    if _is_of_stdout(error):
        return f"cannot write to standard output: {error.strerror}"
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


if __name__ == "__main__":
    sys.exit(main())
