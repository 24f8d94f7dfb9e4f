"""A broken bound on a GPU is looked into: the rows are repeated without TF32."""

import pytest
import torch

from tools.gpu import equality
from tools.gpu.rows import Budget, Row, Settings, Task


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_rows_are_repeated_without_tf32(device, tmp_path, monkeypatch):
    class WrongWithTf32:
        def __init__(self, name, settings):
            pass

        def exact(self):
            yield Row("rpl", "float32", holds=not torch.backends.cudnn.allow_tf32)

        def half(self):
            yield Row("rpl", "float16", holds=True)

    monkeypatch.setattr(equality, "_Itself", WrongWithTf32)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    task = Task("equality", "rpl", "", 1.0)
    rows = list(equality.measure(task, Settings(device, True, tmp_path), Budget(1.0)))
    found = [(row.form, row.holds) for row in rows]
    again = [("float32, convolutions without TF32", True)] if device == "cuda" else []
    assert found == [("float32", False), *again, ("float16", True)]
    assert torch.backends.cudnn.allow_tf32
