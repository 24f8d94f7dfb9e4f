"""`objectomaly checkpoints`: list, download, verify and convert published checkpoints."""

from __future__ import annotations

import argparse
import json
import textwrap
from dataclasses import asdict
from pathlib import Path

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.table import TABLE, Checkpoint, cache_dir, find
from objectomaly_ros.cli.options import exit_code, report
from objectomaly_ros.files.reading import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    parser.epilog = "Exit codes: 0 all well; 3 some failed (each is named); 1 all failed; 2 usage."
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    listing = actions.add_parser("list", help="all known checkpoints with source and licence")

    getting = actions.add_parser(
        "download", help="fetch checkpoints into the cache (OBJECTOMALY_CACHE names its folder)"
    )
    getting.add_argument("names", nargs="+", metavar="NAME", help="see `list`")
    getting.add_argument("--quiet", action="store_true", help="no progress bar")

    checking = actions.add_parser(
        "verify", help="check size, hash and readability; default: of all in the cache"
    )
    checking.add_argument("names", nargs="*", metavar="NAME|FILE", help="see `list`, or a file")

    converting = actions.add_parser("convert", help="rewrite a checkpoint as safetensors")
    converting.add_argument("source", type=Path, help="a .pth, .pkl or .safetensors file")
    converting.add_argument(
        "target", type=Path, nargs="?", help="default: the name of the source with .safetensors"
    )
    for action in (listing, getting, checking, converting):
        action.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Run the action; return the exit code."""
    actions = {"list": _list, "download": _download, "verify": _verify, "convert": _convert}
    return actions[args.action](args)


def _list(args: argparse.Namespace) -> int:
    folder = cache_dir()
    if args.json:
        rows = [
            {**asdict(c), "path": str(folder / c.file), "present": (folder / c.file).exists()}
            for c in TABLE.values()
        ]
        print(json.dumps(rows, indent=1))
        return 0
    print(f"Cache: {folder}  (set OBJECTOMALY_CACHE for another; * = is there)\n")
    for checkpoint in TABLE.values():
        print(_described(checkpoint, (folder / checkpoint.file).exists()))
    bare = ", ".join(c.name for c in TABLE.values() if not (c.size or c.sha256))
    print(_wrapper("").fill(f"Nobody publishes size and hash of {bare}."))
    return 0


def _described(checkpoint: Checkpoint, present: bool) -> str:
    about = [f"for {', '.join(checkpoint.serves)}"]
    if checkpoint.size:
        about.append(f"{checkpoint.size / 1e6:,.0f} MB")
    if checkpoint.sha256:
        about.append(f"sha256 {checkpoint.sha256[:12]}...")
    about.append("by hand (Google Drive)" if checkpoint.by_hand else "download")
    lines = [f"licence  {checkpoint.licence}"]
    if checkpoint.note:
        lines.append(f"note     {checkpoint.note}")
    head = f"{'*' if present else ' '} {checkpoint.name}  [{'; '.join(about)}]"
    filled = map(_wrapper("    ").fill, lines)
    return "\n".join([head, f"    from     {checkpoint.url}", *filled, ""])


def _wrapper(indent: str) -> textwrap.TextWrapper:
    wrapper = textwrap.TextWrapper(100, indent, " " * 13 if indent else "")
    wrapper.break_long_words = wrapper.break_on_hyphens = False
    return wrapper


def _download(args: argparse.Namespace) -> int:
    from objectomaly_ros.checkpoints.download import download

    results: list[dict[str, object]] = []
    for name in args.names:
        try:
            path = str(download(find(name), quiet=args.quiet))
            results.append({"name": name, "ok": True, "path": path})
            if not args.json:
                print(path)
        except (CheckpointError, OSError) as error:
            results.append({"name": name, "ok": False, "error": str(error)})
            report("checkpoints", str(error))
    if args.json:
        print(json.dumps(results, indent=1))
    return _exit_code(results)


def _verify(args: argparse.Namespace) -> int:
    folder = cache_dir()
    here = [c.name for c in TABLE.values() if (folder / c.file).exists()]
    if not args.names and not here:
        raise CheckpointError(f"nothing to verify: {folder} holds none of the known checkpoints")
    results: list[dict[str, object]] = []
    for name in args.names or here:
        try:
            results.append({"name": name, "ok": True, "found": _found(name, folder)})
        except (CheckpointError, OSError) as error:
            results.append({"name": name, "ok": False, "found": str(error)})
    if args.json:
        print(json.dumps(results, indent=1))
    else:
        for result in results:
            line = f"{'ok    ' if result['ok'] else 'FAILED'} {result['name']}: {result['found']}"
            print(printable(line))
    return _exit_code(results)


def _exit_code(results: list[dict[str, object]]) -> int:
    done = sum(bool(result["ok"]) for result in results)
    return exit_code(done, len(results) - done)


def _found(name: str, folder: Path) -> str:
    """Describe a checkpoint; raise `CheckpointError` if it is wrong."""
    from objectomaly_ros.checkpoints.names import canonical, owner
    from objectomaly_ros.checkpoints.reading import read_tensors
    from objectomaly_ros.checkpoints.verify import verify

    if name in TABLE:
        checkpoint = TABLE[name]
        path = folder / checkpoint.file
        if not path.exists():
            raise CheckpointError(f"not in {folder}")
        # The member of an archive has no published hash.
        known = [] if checkpoint.member else [verify(path, checkpoint)]
    else:
        path = Path(name)
        matching = [c for c in TABLE.values() if c.file == path.name and not c.member]
        known = [verify(path, c) for c in matching if path.exists()]
    tensors = canonical(read_tensors(path))
    return "; ".join([*known, f"{len(tensors)} tensors of {owner(tensors)}"])


def _convert(args: argparse.Namespace) -> int:
    from objectomaly_ros.checkpoints.convert import convert

    target = args.target or args.source.with_suffix(".safetensors")
    written = convert(args.source, target)
    print(
        json.dumps({"path": str(target), "written": written}) if args.json else printable(written)
    )
    return 0
