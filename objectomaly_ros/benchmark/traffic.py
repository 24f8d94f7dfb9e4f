"""What a computation on tensors makes a device do: operations, bytes, waits.

A GPU's time for small maps is that of launching and of reading and writing memory, both of which
can be counted without one. Under `torch.inference_mode` some operations hide those that they are
made of; under `torch.no_grad` all are seen.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

_WAITS = frozenset({"aten::nonzero", "aten::_local_scalar_dense"})


class Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what happens inside its `with` block.

    Attributes:
        operations: that do something, views left out.
        bytes: of the tensors that they read and write, each once an operation; elements of an
            expanded tensor once. What a gather does not touch of its source is counted too.
        waits: names of those whose result the host must have before it goes on.
        largest: elements of the largest tensor made.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0
        self.bytes = 0
        self.waits: list[str] = []
        self.largest = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and count it."""
        result = func(*args, **(kwargs or {}))
        given, made = _tensors((args, kwargs)), _tensors(result)
        memory = {tensor.untyped_storage().data_ptr() for tensor in given}
        views = all(tensor.untyped_storage().data_ptr() in memory for tensor in made)
        if made and views and not func._schema.is_mutable:
            return result
        self.operations += 1
        if func._schema.name in _WAITS:
            self.waits.append(func._schema.name)
        self.bytes += sum(_bytes(tensor) for tensor in given + made)
        self.largest = max([self.largest, *(tensor.numel() for tensor in made)])
        return result


def _tensors(tree: object) -> list[torch.Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _bytes(value: torch.Tensor) -> int:
    elements = 1
    for length, stride in zip(value.shape, value.stride(), strict=True):
        elements *= length if stride else min(length, 1)
    return elements * value.element_size()
