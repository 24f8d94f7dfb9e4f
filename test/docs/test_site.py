"""The documentation builds as a site without a warning, and the reference holds what is there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="the site needs the extra [docs]: make docs")
pytest.importorskip("material", reason="the site needs the extra [docs]: make docs")
pytest.importorskip("mkdocstrings", reason="the site needs the extra [docs]: make docs")

from objectomaly_ros.cli.main import COMMANDS
from objectomaly_ros.ros.parameters import SPECS
from objectomaly_ros.ros.topics import INPUTS, OUTPUTS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]]),
            "NO_MKDOCS_2_WARNING": "1",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_reading_it_fetches_nothing(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    fetched = re.compile(r'(?:\ssrc="|<link [^>]*href="|url\()["\']?(?:https?:)?//[^"\')]+')
    for page in (*pages, *site.rglob("*.css")):
        assert fetched.findall(page.read_text("utf-8")) == [], page


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("parameters", [spec.name for spec in SPECS]),
        ("topics", [topic.name for topic in (*INPUTS, *OUTPUTS)]),
        ("messages", ["mask_age_frames", "range_std", "ObstacleArray"]),
        ("commands", [*COMMANDS, "--masks-every", "--score-bits", "--clock-from-stamps"]),
        ("launch", ["image_topic", "start_offset"]),
        ("python", ["load_detector", "pixel_metrics", "refine_boundary", "HasThreshold"]),
    ],
)
def test_the_reference_names(site, page, names):
    text = (site / "reference" / f"{page}.html").read_text("utf-8")
    assert [name for name in names if name not in text] == []


def test_pages_outside_docs_are_pages_of_the_site(site):
    assert 'href="../index.html"' in (site / "project" / "model_card.html").read_text("utf-8")
    assert 'href="project/model_card.html"' in (site / "overview.html").read_text("utf-8")
