"""Names of tensors: one spelling for the variants in published files, and whose file it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar

from objectomaly_ros.checkpoints.errors import CheckpointError

_SHOWN = 8
_SEGMENTER = "sem_seg_head."
_PARALLEL = re.compile(r"^(module\.)+")
_DOUBLED = re.compile(r"^(sem_seg_head\.pixel_decoder\.)(pixel_decoder\.)+")


class _Shaped(Protocol):
    @property
    def shape(self) -> Iterable[int]: ...


T = TypeVar("T")


def canonical_name(name: str) -> str:
    """Return the name of a tensor in today's official code.

    Older files have `module.` of data-parallel training, `pixel_decoder.` twice (detectron2's
    upgrade hook) or not at all, and `static_query` for `query_feat`.
    """
    name = _DOUBLED.sub(r"\1", _PARALLEL.sub("", name))
    if name.startswith(_SEGMENTER):
        rest = name.removeprefix(_SEGMENTER)
        if not rest.startswith(("predictor.", "pixel_decoder.")):
            name = f"{_SEGMENTER}pixel_decoder.{rest}"
    return name.replace(".static_query.", ".query_feat.")


def canonical(tensors: Mapping[str, T]) -> dict[str, T]:
    """Return the tensors under their canonical names.

    Raises:
        CheckpointError: two tensors have the same one.
    """
    found = {canonical_name(name): tensor for name, tensor in tensors.items()}
    if len(found) < len(tensors):
        counts = Counter(map(canonical_name, tensors))
        twice = [name for name, count in counts.items() if count > 1][:_SHOWN]
        raise CheckpointError(f"the file holds several tensors called {', '.join(twice)}")
    return found


def by_their_ends(tensors: Mapping[str, T], expected: Iterable[str], source: str) -> dict[str, T]:
    """Complete names that lack their beginning, as detectron2's `matching_heuristics` does.

    Args:
        tensors: under the file's names.
        expected: the network's names. Each takes the longest name of the file that equals it or,
            after a dot, its end: `backbone.res2.0.conv1.weight` takes `res2.0.conv1.weight`.
        source: the file's name, for the message.

    Returns:
        the tensors, under the network's names if they have one.

    Raises:
        CheckpointError: two of the network's names take the same tensor.
    """
    takers: dict[str, list[str]] = {}
    for name in expected:
        end = name
        while end and end not in tensors:
            end = end.partition(".")[2]
        if end:
            takers.setdefault(end, []).append(name)
    for end, names in takers.items():
        if len(names) > 1:
            raise CheckpointError(
                f"{source} asks that names be matched by their ends, but {end} is the end of "
                f"{names[0]} and {names[1]}: give its tensors their full names"
            )
    return {takers.get(name, [name])[0]: tensor for name, tensor in tensors.items()}


def owner(tensors: Mapping[str, _Shaped]) -> str:
    """Tell whose checkpoint this is, by names and shapes alone.

    Args:
        tensors: under canonical names.

    Returns:
        `mask2anomaly`, `rba`, `uno`, `eam` (Maskomaly has the same tensors), `rpl`, `sam`,
        `mobile_sam`, `sam2`, `edgetam` or `unknown`.
    """
    if any(name.startswith("branch1.mod") for name in tensors):
        return "rpl"
    if any(name.startswith("sam_mask_decoder.") for name in tensors):
        video = any(name.startswith("spatial_perceiver.") for name in tensors)
        return "edgetam" if video else "sam2"
    if any(name.startswith("image_encoder.patch_embed.seq.") for name in tensors):
        return "mobile_sam"
    if any(name.startswith("image_encoder.") for name in tensors):
        return "sam"
    if not any(name.startswith("sem_seg_head.") for name in tensors):
        return "unknown"
    if any("multihead_attn_background" in name for name in tensors):
        return "mask2anomaly"
    levels = _rows(tensors, "sem_seg_head.predictor.level_embed.weight")
    if levels == 1:
        return "rba"
    return "uno" if _rows(tensors, "sem_seg_head.predictor.class_embed.weight") == 21 else "eam"


def check_owner(name: str, tensors: Mapping[str, _Shaped], source: str) -> None:
    """Raise a `CheckpointError` if the file is another model's."""
    expected = "eam" if name == "maskomaly" else name  # the same closed-set network
    found = owner(tensors)
    if found not in (expected, "unknown"):
        also = " (or maskomaly)" if found == "eam" else ""
        raise CheckpointError(f"{source} is a checkpoint of {found}{also}, not of {name}")


def load_tensors(
    network: Any, tensors: Mapping[str, Any], source: str, ignored: tuple[str, ...] = ()
) -> None:
    """Copy a file's tensors into a torch module that names them as the file does.

    Args:
        network: the module.
        tensors: of the file. Counts of batch norms may be missing: they serve training only.
        source: the file's name, for the message.
        ignored: beginnings of the names of tensors that the file may hold beside the network's.

    Raises:
        CheckpointError: tensors are missing, have another shape, or are left over.
    """
    expected = network.state_dict()
    missing = [
        name
        for name in expected
        if name not in tensors and not name.endswith("num_batches_tracked")
    ]
    misshaped = [
        f"{name} {list(tensors[name].shape)} instead of {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    extra = [name for name in tensors if name not in expected and not name.startswith(ignored)]
    complain(source, missing, misshaped, extra)
    network.load_state_dict(tensors, strict=False)


def complain(source: str, missing: list[str], misshaped: list[str], extra: list[str]) -> None:
    """Raise a `CheckpointError` that names the tensors that do not fit, if there are any."""
    problems = []
    for what, names in (("missing", missing), ("of another shape", misshaped), ("unknown", extra)):
        distinct = list(dict.fromkeys(names))
        if distinct:
            more = f" and {len(distinct) - _SHOWN} more" if len(distinct) > _SHOWN else ""
            problems.append(f"{len(distinct)} {what}: {', '.join(distinct[:_SHOWN])}{more}")
    if problems:
        raise CheckpointError(f"{source} does not fit the network; tensors {'; '.join(problems)}")


def _rows(tensors: Mapping[str, _Shaped], name: str) -> int | None:
    return next(iter(tensors[name].shape), None) if name in tensors else None
