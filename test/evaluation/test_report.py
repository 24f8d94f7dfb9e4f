"""The report is one file, shows all figures, and works in a browser at two widths."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from objectomaly_ros.evaluation.cache import ScoreCache
from objectomaly_ros.evaluation.datasets import find_datasets
from objectomaly_ros.evaluation.model_spec import ModelSpec
from objectomaly_ros.evaluation.published import published_rows
from objectomaly_ros.evaluation.report.charts import Line, chart
from objectomaly_ros.evaluation.report.page import write_report
from objectomaly_ros.evaluation.results import percent
from objectomaly_ros.evaluation.runner import evaluate
from objectomaly_ros.evaluation.stages import Options

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

PROBE = """
<pre id="probe"></pre><script>
const found = {};
for (const frame of document.querySelectorAll("iframe")) frame.addEventListener("load", () => {
  const page = frame.contentDocument, view = frame.contentWindow;
  const names = () => [...page.querySelectorAll(".gallery h4")].map(h => h.textContent);
  const rows = () => [...page.querySelectorAll(".sortable tbody th")].map(h => h.textContent);
  const out = {overflow: page.documentElement.scrollWidth - view.innerWidth, before: names()};
  page.querySelector("button[data-turn]").click();
  out.turned = names();
  page.querySelectorAll(".sortable thead button")[2].click();
  out.rows = rows();
  out.charts = page.querySelectorAll("svg.chart polyline").length;
  out.images = [...page.images].filter(i => i.naturalWidth > 50).length;
  found[frame.width] = out;
  document.getElementById("probe").textContent = JSON.stringify(found);
});
</script>
"""


@pytest.fixture
def report(dataset_root, models, tmp_path):
    root = dataset_root.rename(dataset_root.with_name("RoadAnomaly21"))
    (root / "images" / "f<i>9.png").write_bytes(b"broken")
    (root / "labels_masks" / "f<i>9.png").write_bytes(
        (root / "labels_masks" / "f0.png").read_bytes()
    )
    cache = tmp_path / "cache"
    results = evaluate(
        find_datasets(root),
        [ModelSpec.parse("evaluation_models:Redness")],
        [ModelSpec.parse("evaluation_models:Tiles")],
        Options(cache, progress=False),
    )
    path = tmp_path / "report.html"
    write_report(path, results, ScoreCache(cache))
    return results, path


def test_the_page_stands_alone_and_says_what_was_measured(report):
    results, path = report
    text = path.read_text("utf-8")
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert "http" not in re.sub(r"data:[^\"]*", "", text)
    figures = results[0].runs[0].stages["mbp"]
    for value in (figures.pixel.auprc, figures.pixel.fpr95, figures.components.f1):
        assert f">{percent(value)}</td>" in text
    for row in published_rows("AnomalyTrack"):
        assert html.escape(row.method) in text
    assert 'class="split test">test<' in text
    assert 'class="split claimed">claimed<' in text
    assert "compare only figures of the same split" in text
    assert "1 left out" in text
    assert "f&lt;i&gt;9.png: this image file cannot be read" in text
    assert "f<i>9" not in text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed to render the report in")
def test_the_page_works_in_a_browser_at_1400_and_400_pixels(report, tmp_path):
    results, path = report
    # The load event of a frame waits for images, but not for lazy ones.
    page = html.escape(path.read_text("utf-8").replace('loading="lazy"', ""))
    frames = "".join(
        f'<iframe width="{w}" height="900" srcdoc="{page}"></iframe>' for w in (1400, 400)
    )
    # The probe comes first, to get the load events of the frames.
    wrapper = tmp_path / "probe.html"
    script = PROBE.replace("<script>", f"{frames}<script>")
    wrapper.write_text(f"<!DOCTYPE html><meta charset=utf-8>{script}", "utf-8")
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1900,1000",
         "--dump-dom", wrapper.as_uri()],
        capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    found = json.loads(html.unescape(re.search(r'id="probe">(.*?)</pre>', done.stdout)[1]))
    last = results[0].runs[0].stages["mbp"].frames
    ranked = sorted((f for f in last if not np.isnan(f.auprc)), key=lambda f: -f.auprc)
    best_first = [f.name for f in ranked]
    assert set(found) == {"1400", "400"}
    for width in found.values():
        assert width["overflow"] <= 0
        assert width["before"] == [*best_first, "f3"]  # f3 has no object
        assert width["turned"] == [*best_first[::-1], "f3"]
        assert width["rows"] == [*best_first, "f3"]
        assert width["charts"] == 12
        assert width["images"] == 25


def test_a_chart_leaves_out_what_is_undefined():
    line = Line("a", np.array([0.0, 0.5, np.nan, 1]), np.array([0, 0.5, 1, 1.0]), "#000")
    points = re.search(r'points="([^"]*)"', chart("t", "x", "y", [line]))[1].split()
    assert len(points) == 3
    assert points[0] == "52.0,276.0"
    assert points[-1] == "448.0,12.0"
    log = re.search(r'points="([^"]*)"', chart("t", "x", "y", [line], log_floor=1e-3))[1].split()
    assert len(log) == 2
    assert "nan" not in chart("t", "x", "y", [line])
