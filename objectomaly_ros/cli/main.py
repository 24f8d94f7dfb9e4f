"""The command `objectomaly`: finds the subcommand, runs it, and turns errors into exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

# Name -> (module, one line of help). A module has `add_arguments(parser)` and `run(args) -> int`;
# only the one that is asked for gets imported, so that `--help` does not wait for torch.
COMMANDS: dict[str, tuple[str, str]] = {
    "benchmark": (
        "objectomaly_ros.cli.benchmark",
        "time mask generation beside the official generator",
    ),
    "checkpoints": (
        "objectomaly_ros.cli.checkpoints",
        "list, download, verify and convert published checkpoints",
    ),
    "evaluate": (
        "objectomaly_ros.cli.evaluate",
        "measure detectors, after every stage, on road-anomaly datasets",
    ),
    "refine": (
        "objectomaly_ros.cli.refine",
        "refine images, or other detectors' score maps, folder by folder",
    ),
}

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: what stands behind the program's name; default the process's own.

    Returns:
        0 for success, 1 where the work failed (the reason is on stderr), 2 for a usage error,
        130 when interrupted; a subcommand may define further codes in its help.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="objectomaly",
        description="Finds the obstacles that no training set named (Objectomaly, "
        "arXiv 2507.07460)",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    asked = next((a for a in arguments if not a.startswith("-")), None)
    module: Any = None
    for name, (target, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name == asked:
            module = import_module(target)
            module.add_arguments(command)
    args = parser.parse_args(arguments)
    try:
        return int(module.run(args))
    except KeyboardInterrupt:
        print("objectomaly: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output (head, less) has seen enough; Python must not flush it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (ValueError, OSError, ImportError, IndexError) as error:
        # What a person can put right: files, options, packages. Anything else is our bug, and its
        # traceback is wanted.
        print(f"objectomaly {args.command}: {error}", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
