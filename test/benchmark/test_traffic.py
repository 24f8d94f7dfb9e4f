import torch

from objectomaly_ros.benchmark.traffic import Traffic


def test_operations_and_bytes_are_counted_and_views_are_not():
    a, b = torch.zeros(10, 4), torch.zeros(4)
    with Traffic() as traffic:
        a[2:8] + b.expand(6, 4)  # reads 24 and 4 values, writes 24
    assert (traffic.operations, traffic.bytes) == (1, 4 * (24 + 4 + 24))
    assert traffic.largest == 24
    assert traffic.waits == []


def test_waits_are_named():
    a = torch.ones(5)
    with Traffic() as traffic:
        a.nonzero()
        a.sum().item()
    assert traffic.waits == ["aten::nonzero", "aten::_local_scalar_dense"]
