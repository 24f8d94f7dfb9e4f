"""Goals take the best fitting row, and say why there is none."""

import pytest

from tools.gpu import goals
from tools.gpu.page import Report, _html
from tools.gpu.plan import tasks
from tools.gpu.rows import Row, Settings, Task
from tools.gpu.running import Outcome


def sam(form, times, ms=500.0):
    return "sam", Row(
        "sam_vit_h", form, "720p", {"times official": times, "median ms": ms}, weights="stand-in"
    )


def judged(*rows):
    return {done.goal.name: (done.state, done.by) for done in goals.judge(rows, "")}


def test_each_goal_has_its_rows():
    found = judged(
        sam("official", 1.0, ms=20.0),
        sam("float32", 3.9),
        sam("float16", 7.0),
        sam("float16, fused", 9.0, ms=90.0),
        ("refinement", Row("OASC + MBP", "on the device", "720p", {"median ms": 1.2})),
        ("refinement", Row("OASC + MBP", "on the device", "720p", {"median ms": 0.9}, False)),
        ("refinement", Row("OASC + MBP", "on the host", "720p", {"median ms": 0.1})),
        ("refinement", Row("OASC + MBP", "on the device", "1080p", {"median ms": 0.2})),
        ("node", Row("real node", "CAS beside SAM", figures={"times alone": 1.25})),
        ("sam", Row("sam_vit_l", "float32", problem="OutOfMemoryError")),
        ("sam", Row("sam_vit_b", "float32", "720p", {"times official": 9.0}, False)),
    )
    assert found == {
        "SAM ViT-B, exact: times the official generator":
            ("not measured", "its check does not hold"),
        "SAM ViT-L, exact: times the official generator": ("not measured", "OutOfMemoryError"),
        "SAM ViT-H, exact: times the official generator": ("missed", "float32 (stand-in weights)"),
        "SAM ViT-B, half precision: times the official generator":
            ("not measured", "no row has it"),
        "SAM ViT-L, half precision: times the official generator":
            ("not measured", "no row has it"),
        "SAM ViT-H, half precision: times the official generator":
            ("met", "float16, fused (stand-in weights)"),
        "SAM ViT-H, 32x32 points, 720p: ms": ("met", "float16, fused (stand-in weights)"),
        "OASC + MBP, 720p: ms": ("missed", "on the device"),
        "CAS beside SAM: p99, times CAS alone": ("met", "CAS beside SAM"),
    }  # fmt: skip


def test_the_page_tells_failures_and_what_is_left(tmp_path):
    task = Task("sam", "sam_vit_h", "float32", 1.0)
    broken = Row("sam_vit_h", "float32", figures={"IoU": float("nan")}, holds=False)
    failed = Row("sam_vit_h", "half", problem="RuntimeError: <no kernel>")
    report = Report(
        Settings("cuda", False, tmp_path),
        {"device": "NVIDIA Some & Co"},
        [
            Outcome(task, "failed", [broken, failed]),
            Outcome(task, "left", [Row("sam_vit_h", "fused", problem="not measured: time")]),
        ],
    )
    first, *further = report.verdict()
    assert first.startswith("On NVIDIA Some & Co, 0 of 1 checks hold, and 0 of 9 goals are met")
    assert further == [
        "1 of 2 tasks failed; start it again to retry.",
        "1 of 2 tasks are left; start it again to go on.",
    ]
    page = _html(report)
    for words in ("RuntimeError: &lt;no kernel&gt;", "does not hold", "not finite",
                  "not measured: time", "Some &amp; Co"):  # fmt: skip
        assert words in page


def test_a_cuda_machine_gets_all_networks_and_forms(tmp_path):
    everything = tasks(Settings("cuda", False, tmp_path))
    names = [task.name for task in everything]
    assert len(names) == len(set(names))
    by_step = {}
    for task in everything:
        by_step.setdefault(task.step, set()).add((task.subject, task.form))
    detectors = {"embedded", "semantic", "mask2anomaly", "rba", "uno", "eam", "maskomaly", "rpl"}
    assert {subject for subject, _ in by_step["equality"]} == detectors
    assert {subject for subject, form in by_step["speed"] if form == "float32"} == detectors
    assert {subject for subject, form in by_step["speed"] if form == "half"} == (
        detectors - {"semantic"}
    )
    for name in ("sam_vit_b", "sam_vit_l", "sam_vit_h"):
        assert {form for subject, form in by_step["sam"] if subject == name} == {
            "official", "float32", "half", "fused", "half, fused", "compiled",
            "half, fused, compiled", "half, fused, CUDA graphs",
        }  # fmt: skip
    others = {subject for subject, _ in by_step["sam"]}
    assert others > {"mobile_sam", "sam2_hiera_tiny", "sam2_hiera_large"}
    order = [name for name in names if name.startswith("sam-sam_vit_h")]
    assert order[0] == "sam-sam_vit_h-official", "the forms are compared with it"


@pytest.mark.parametrize("with_masks", [False, True])
def test_the_node_is_given_parameters_that_it_has(tmp_path, monkeypatch, with_masks):
    from objectomaly_ros.ros.parameters import BY_NAME, options
    from tools.benchmarks import soak
    from tools.gpu import node

    given = {}

    def measure(arguments, *parameters):
        given.update(parameter.split(":=") for parameter in parameters)
        return soak.Report(coarse={1: 0.2, 2: 0.3}, refined=1)

    monkeypatch.setattr(soak, "measure", measure)
    monkeypatch.setattr(node.models, "node_detector", lambda *_, **__: soak.SlowDetector())
    monkeypatch.setattr(soak, "SERVICE_S", 0.001)
    latencies, refined = node._in_node(Settings("cpu", True, tmp_path))(with_masks, 0.1)
    assert (latencies, refined) == ([0.2, 0.3], 1)
    assert set(given) <= set(BY_NAME)
    assert options([given["detector.options"].strip("[]")]) == {"tiny": True}
    assert (given["masks.name"] == "none") is not with_masks
