"""The weights behind the goldens, as files in the official format."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import torch


def write_golden_file(goldens: Path, folder: str, path: Path) -> None:
    """Write the weights that the README of `goldens/folder` describes."""
    spec = importlib.util.spec_from_file_location("formula", goldens / "deterministic_weights.py")
    formula = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(formula)
    content = json.loads((goldens / folder / "state_dict.json").read_text())
    tensors = {
        name: torch.from_numpy(np.array(formula.tensor(name, entry["shape"])))
        for name, entry in content["tensors"].items()
        if "relative_position_index" not in name
    }
    if folder == "rpl":
        tensors["branch1.final.6.weight"] *= 0.005  # see its README
    torch.save({"model": tensors, "iteration": 89999}, path)
