"""Refuses TorchScript that might run without an end, before it runs.

A loop may run once for each dimension of a tensor, as in `torch.nn.functional`, and functions that
call each other twice may not multiply without a limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from pickle import UnpicklingError
from typing import Any

_MAX_NODES = 200_000  # with every called function in its caller's place
_MAX_TURNS = 64  # of a loop; tensors have fewer dimensions
_READERS = ("aten::len", "aten::__getitem__", "aten::format")


def check_work(unit: Any) -> None:
    """Check all functions of a `torch._C.CompilationUnit`.

    Raises:
        UnpicklingError: a loop has no small number of turns, or the calls multiply.
    """
    functions = {function.qualified_name: function for function in unit.get_functions()}
    calls = {name: list(_calls(function.graph)) for name, function in functions.items()}
    sizes: dict[str, int] = {}

    def size(name: str, depth: int = 0) -> int:
        if name not in calls or depth > 100:
            raise UnpicklingError(f"it calls {name}, which is unknown or nested too deeply")
        if name not in sizes:
            sizes[name] = sum(size(called, depth + 1) if called else 1 for called in calls[name])
        if sizes[name] > _MAX_NODES:
            raise UnpicklingError(f"its calls multiply to more than {_MAX_NODES} operators")
        return sizes[name]

    entries = functions.keys() - {called for made in calls.values() for called in made}
    if sum(map(size, entries)) > _MAX_NODES:
        raise UnpicklingError(f"it has more than {_MAX_NODES} operators")
    for name in entries:
        _check_loops(functions[name].inlined_graph)


def _calls(graph: Any) -> Iterator[str]:
    """Yield for every node the name of the function that it calls, or an empty text."""
    for node in _nodes(graph):
        if node.kind() == "prim::CallFunction":
            yield next(node.inputs()).type().annotation_str
        elif node.kind() == "prim::CallMethod":
            yield f"{next(node.inputs()).type().annotation_str}.{node.s('name')}"
        else:
            yield ""


def _nodes(block: Any) -> Iterator[Any]:
    blocks = [block]
    while blocks:
        for node in blocks.pop().nodes():
            yield node
            blocks.extend(node.blocks())


def _check_loops(graph: Any) -> None:
    for node in _nodes(graph):
        if node.kind() != "prim::Loop":
            continue
        if not _is_small(next(node.inputs())):
            raise UnpicklingError("it has a loop of unknown length (torch.jit.trace unrolls loops)")
        if any(inner.kind() == "prim::Loop" for block in node.blocks() for inner in _nodes(block)):
            raise UnpicklingError("it has a loop in a loop (torch.jit.trace unrolls loops)")


def _is_small(value: Any) -> bool:
    """Return whether an integer is constant, or the number of a tensor's dimensions or less."""
    node, given = value.node(), list(value.node().inputs())
    if node.kind() == "prim::Constant":
        return bool(value.toIValue() <= _MAX_TURNS)
    if node.kind() == "aten::sub":
        less = given[1].toIValue()
        return isinstance(less, int) and less >= 0 and _is_small(given[0])
    if node.kind() == "aten::len":
        uses = [use.user.kind() for use in given[0].uses()]  # none that lengthens the list
        return given[0].node().kind() == "aten::size" and all(kind in _READERS for kind in uses)
    return bool(node.kind() == "aten::dim")
