"""Loads TorchScript archives of tensor arithmetic, and refuses all others before they run.

TorchScript has operators that read and write files (`aten::from_file`, `aten::save`), and
`torch.jit.load` itself runs parts of an archive: `__setstate__`, default arguments and `Final`
constants. It also believes the sizes that the archive claims for its tensors. So the source and the
structure are checked first, only what was checked is handed to torch, and then the compiled graph
of every function may hold the operators below alone, and no loop without an end.
"""

from __future__ import annotations

import ast
import io
import math
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.pickles import check_effort
from objectomaly_ros.checkpoints.torchscript_work import check_work

_MAX_SOURCE = 4 << 20
_KEPT = re.compile(
    r"data\.pkl|constants\.pkl|(\.data/)?version|byteorder|(data|constants)/\d+|code/[\w/]+\.py"
)
_STRING = re.compile(r'(?<!\w)"(?:[^"\\\x00-\x1f\x7f-\xff]|\\[\x20-\x7e])*"(?!")')
_NOT_PLAIN = re.compile(r"""[^\x20-\x7e\n]|["'\\#;]""")
# torch crashes on compiling some operators, such as prim::PythonOp.
_OPERATOR = re.compile(r"(?<![\w.])ops\b(?!\s*:)(?:\.(\w+)\.(\w+))?")
_LITERALS = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.UnaryOp, ast.USub, ast.expr_context)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Operators without their namespace; those of `aten` also in place (`add_`).
_ATEN = _words("""
    abs acos add addcdiv addcmul addmm asin atan atan2 baddbmm bmm ceil clamp clamp_max clamp_min
    clip cos cosh cumprod cumsum div divide dot einsum erf exp expm1 floor floor_divide floordiv
    fmod frac lerp linear log log10 log1p log2 matmul maximum minimum mm mul multiply mv neg
    negative outer pow reciprocal remainder round rsqrt rsub sign sin sinh sqrt square sub subtract
    tan tanh true_divide trunc
    __and__ __is__ __isnot__ __not__ __or__ __xor__ bitwise_and bitwise_not bitwise_or bitwise_xor
    eq equal ge greater gt isfinite isinf isnan le less logical_and logical_not logical_or
    logical_xor lt masked_fill ne where
    all amax amin any argmax argmin argsort count_nonzero linalg_vector_norm logsumexp max mean
    median min norm prod sort std std_mean sum topk var var_mean
    broadcast_to cat chunk clone col2im concat contiguous copy detach dim expand expand_as flatten
    flip gather im2col index index_fill index_put index_select len masked_select movedim narrow
    numel permute pixel_shuffle pixel_unshuffle repeat repeat_interleave reshape reshape_as roll
    rot90 scatter scatter_add select size slice split split_with_sizes squeeze stack swapaxes t
    take_along_dim tensor_split tile to transpose tril triu type_as unbind unflatten unfold
    unsafe_chunk unsafe_split unsqueeze view view_as
    arange empty empty_like eye fill full full_like linspace meshgrid new_empty new_full new_ones
    new_zeros ones ones_like scalar_tensor tensor zero zeros zeros_like
    _convolution _native_multi_head_attention _upsample_bicubic2d_aa _upsample_bilinear2d_aa
    _upsample_lanczos2d_aa _upsample_nearest_exact1d _upsample_nearest_exact2d
    _upsample_nearest_exact3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    adaptive_max_pool2d affine_grid_generator alpha_dropout avg_pool1d avg_pool2d batch_norm
    bernoulli celu channel_shuffle constant_pad_nd conv1d conv2d conv3d conv_transpose1d
    conv_transpose2d convolution dropout elu embedding feature_dropout gelu glu grid_sampler
    group_norm hardsigmoid hardswish hardtanh instance_norm layer_norm leaky_relu log_sigmoid
    log_softmax max_pool1d max_pool2d max_pool2d_with_indices mish native_layer_norm normal pad
    prelu reflection_pad1d reflection_pad2d relu relu6 replication_pad2d rms_norm
    scaled_dot_product_attention selu sigmoid silu softmax softplus threshold uniform
    upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d
    upsample_nearest3d upsample_trilinear3d
    Bool Float FloatImplicit Int IntImplicit ScalarImplicit __contains__ __derive_index
    __getitem__ __range_length _set_item append copy dict extend format get_device
    is_autocast_enabled is_floating_point is_grad_enabled item items keys list percentFormat values
    warn
""")
_PRIM = _words("""
    CallFunction CallMethod Constant CreateObject DictConstruct GetAttr If ListConstruct ListUnpack
    Loop NumToTensor RaiseException SetAttr TupleConstruct TupleIndex TupleSlice TupleUnpack
    Uninitialized abs device dtype is_cuda is_nested layout max min requires_grad shape type
    unchecked_cast
""")


def load_torchscript(path: Path, device: torch.device) -> torch.nn.Module:
    """Load a module that computes with tensors and does nothing else, in evaluation mode.

    Args:
        path: an archive of `torch.jit.save`.
        device: where its tensors are placed.

    Raises:
        CheckpointError: it is damaged, or may do something else or run without an end; nothing of
            it has run.
    """
    try:
        archive = _checked_archive(path)
        unit = torch._C.CompilationUnit()
        script = torch._C.import_ir_module_from_buffer(unit, archive, device, {}, False)  # type: ignore[arg-type, call-arg]
        for operator in _operators(unit):
            if not _is_arithmetic(operator):
                raise pickle.UnpicklingError(f"it uses the operator {operator}")
        check_work(unit)
        module: torch.nn.Module = torch.jit._recursive.wrap_cpp_module(script)  # type: ignore[no-untyped-call]
        return module.eval()
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is refused: {error}. A TorchScript file may hold tensor arithmetic alone; "
            "better export the network as ONNX, which cannot hold code"
        ) from error
    except Exception as error:  # a damaged archive fails in any way it likes
        raise CheckpointError(
            f"{path} is not a TorchScript archive (torch.jit.trace(...).save(...)): "
            f"{(str(error).strip() or type(error).__name__).splitlines()[0]}"
        ) from error


def _checked_archive(path: Path) -> bytes:
    """Return an archive of the checked parts of `path`."""
    sizes: dict[str, int] = {}
    structure: dict[str, io.BytesIO] = {}
    source_left, stored_left = _MAX_SOURCE, path.stat().st_size
    result = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(result, "w") as checked:
        for member in archive.infolist():
            name = member.filename.partition("/")[2]
            if not _KEPT.fullmatch(name):
                continue  # debug information, traced inputs
            if name.startswith("code/"):
                source_left -= member.file_size
            elif member.compress_type == zipfile.ZIP_STORED:
                stored_left -= member.file_size
            else:
                raise pickle.UnpicklingError(f"{name} is compressed")
            if name in sizes or source_left < 0 or stored_left < 0:
                raise pickle.UnpicklingError(f"{name} is there twice, or claims to be too large")
            part = archive.read(member)
            sizes[name] = len(part)
            if name.startswith("code/"):
                _check_source(part.decode("latin1"), name)
            elif name.endswith(".pkl"):
                structure[name] = io.BytesIO(part)
            checked.writestr(f"checked/{name}", part)
    for folder in ("data", "constants"):
        content = structure[f"{folder}.pkl"]
        check_effort(content)
        content.seek(0)
        _Structure(content, sizes, folder).load()
    return result.getvalue()


def _check_source(text: str, name: str) -> None:
    """Refuse source of which torch would run a part while it loads it."""
    # Python must see the tokens that TorchScript sees: no comments, continued lines or prefixes.
    plain = _STRING.sub("0", text)
    if _NOT_PLAIN.search(plain):
        raise pickle.UnpicklingError(f"{name} is not source as torch writes it")
    if "__setstate__" in text:
        raise pickle.UnpicklingError(f"{name} has a __setstate__, which would run on loading")
    for namespace, operator in _OPERATOR.findall(plain):
        if not _is_arithmetic(f"{namespace}::{operator}"):
            raise pickle.UnpicklingError(f"it uses the operator {namespace}::{operator}")
    for node in ast.walk(ast.parse(text)):
        values: list[ast.expr | None] = []
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            values = [*node.args.defaults, *node.args.kw_defaults]
        elif isinstance(node, ast.ClassDef):
            for line in node.body:
                # `__annotations__["0"] = Type`, for the parts of a Sequential, is never computed.
                if isinstance(line, ast.AnnAssign) or (
                    isinstance(line, ast.Assign)
                    and not all(ast.unparse(t).startswith("__annotations__[") for t in line.targets)
                ):
                    values.append(line.value)
        for part in (part for value in values if value for part in ast.walk(value)):
            named = isinstance(part, ast.Name) and part.id in ("inf", "nan")
            if not named and not isinstance(part, _LITERALS):
                raise pickle.UnpicklingError(
                    f"{name} computes a default or a constant, which would run on loading"
                )


class _Object:
    """Stands in for an object of a class of the archive."""

    def __setstate__(self, state: Any) -> None:
        """Take any state."""


class _ItemSize(int):
    """Stands in for a storage's class: the bytes of a number."""


_STORAGES = {
    f"{name}Storage": _ItemSize(size)
    for size, names in (
        (1, "Bool Byte Char"),
        (2, "Half BFloat16 Short"),
        (4, "Float Int"),
        (8, "Double Long"),
    )
    for name in names.split()
}


class _Structure(pickle.Unpickler):
    """Reads the structure of an archive without its code, and checks its tensors' sizes.

    torch does not: it reads and writes beyond a part that is shorter than its tensor.
    """

    def __init__(self, file: io.BytesIO, sizes: dict[str, int], folder: str) -> None:
        super().__init__(file)
        self._sizes = sizes
        self._folder = folder

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands in for a name that torch's archives hold; raise for any other."""
        full = f"{module}.{name}"
        if full == "torch._utils._rebuild_tensor_v2":
            return _check_tensor
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if full == "collections.OrderedDict":
            return OrderedDict
        if re.fullmatch(r"torch\.jit\._pickle\.(restore_type_tag|build_[a-z]+list)", full):
            return lambda value, *_type: value
        if full.startswith("__torch__.") and not full.startswith("__torch__.torch.classes."):
            return _Object
        raise pickle.UnpicklingError(f"it asks for {full}")

    def persistent_load(self, identity: Any) -> int:
        """Return how many numbers a storage holds."""
        _kind, item, key, _device, count = identity
        present = self._sizes.get(f"{self._folder}/{key}", 0)
        if not isinstance(item, _ItemSize) or not 0 <= count * item <= present:
            raise pickle.UnpicklingError(
                f"a tensor claims {count} numbers of {self._folder}/{key}, which has {present} "
                "bytes"
            )
        return int(count)


def _check_tensor(count: int, offset: int, size: Any, stride: Any, *_: Any) -> None:
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min(offset, *size, *stride, 0) < 0 or (math.prod(size) and last >= count):
        raise pickle.UnpicklingError(
            f"a tensor of shape {size} reaches beyond its storage of {count} numbers"
        )


def _operators(unit: Any) -> Iterator[str]:
    """Yield the operators of every function and method, in all blocks."""
    seen = 0
    while seen < len(functions := unit.get_functions()):  # a graph may bring in functions
        blocks = [function.graph for function in functions[seen:]]
        seen = len(functions)
        while blocks:
            for node in blocks.pop().nodes():
                kinds = [value.type().annotation_str for value in node.outputs()]
                # Objects of torch's own classes have methods in C++.
                yield next((kind for kind in kinds if "torch.classes." in kind), node.kind())
                blocks.extend(node.blocks())


def _is_arithmetic(operator: str) -> bool:
    namespace, _, name = operator.partition("::")
    if namespace == "aten":
        return name in _ATEN or name.removesuffix("_") in _ATEN
    return namespace == "prim" and name in _PRIM
