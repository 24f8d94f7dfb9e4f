"""The gallery of a run's best and worst frames."""

from __future__ import annotations

import math
from html import escape

import numpy as np

from objectomaly_ros.evaluation.cache import ScoreCache
from objectomaly_ros.evaluation.datasets import Dataset
from objectomaly_ros.evaluation.measure import FrameFigures
from objectomaly_ros.evaluation.report.panels import PANELS, frame_panels
from objectomaly_ros.evaluation.results import percent
from objectomaly_ros.evaluation.runner import Run
from objectomaly_ros.evaluation.stages import Stage, load_stage

SHOWN = 8
"""How many of the best and of the worst frames are shown."""
_SORTS = (
    ("auprc", "AuPRC refined"),
    ("gain", "gain by refinement"),
    ("fpr", "FPR95"),
    ("false", "false components"),
)


def frame_gallery(dataset: Dataset, run: Run, cache: ScoreCache, key: str) -> str:
    """Return the best and worst frames, by their AuPRC after the last stage, as sortable cards.

    Frames without objects have no AuPRC; the one with most false components comes last.
    """
    coarse = {frame.name: frame for frame in run.stages["coarse"].frames}
    last = run.stages[run.last]
    ranked = sorted((f for f in last.frames if not math.isnan(f.auprc)), key=lambda f: -f.auprc)
    empty = sorted(
        (f for f in last.frames if math.isnan(f.auprc)), key=lambda f: -f.false_components
    )
    if len(ranked) > 2 * SHOWN:
        ranked = ranked[:SHOWN] + ranked[-SHOWN:]
    by_name = {scored.frame.name: scored for scored in run.scored}
    limits = (_limits(run, cache, "coarse"), _limits(run, cache, run.last))
    threshold = last.pixel.best_f1_threshold
    cards = []
    for frame in [*ranked, *empty[:1]]:
        scored = by_name[frame.name]
        pictures = frame_panels(cache, scored, dataset.conventions, run.last, threshold, limits)
        cards.append(_card(frame, coarse[frame.name].auprc, pictures))
    options = "".join(f'<option value="{value}">{text}</option>' for value, text in _SORTS)
    shown = (
        f"the {SHOWN} best and the {SHOWN} worst" if len(cards) > 2 * SHOWN else "all with objects"
    )
    return (
        f'<p class="tools"><label>Sort by <select data-gallery="gallery{key}">{options}</select>'
        f'</label> <button data-turn="gallery{key}">worst first</button> <span>{shown}; '
        '<i class="sw found"></i>found&ensp;<i class="sw false"></i>false&ensp;'
        f'<i class="sw missed"></i>missed</span></p>'
        f'<div class="gallery" id="gallery{key}">{"".join(cards)}</div>'
    )


def _card(frame: FrameFigures, before: float, pictures: list[str]) -> str:
    gain = frame.auprc - before
    data = {
        "auprc": frame.auprc,
        "gain": gain,
        "fpr": frame.fpr95,
        "false": float(frame.false_components),
    }
    attributes = " ".join(
        f'data-{name}="{"" if math.isnan(value) else f"{value:.6f}"}"'
        for name, value in data.items()
    )
    sign = "up" if gain > 0 else "down"
    score = (
        "holds no object"
        if math.isnan(frame.auprc)
        else f"AuPRC <b>{percent(before)} → {percent(frame.auprc)}</b> "
        f'<span class="{sign}">{100 * gain:+.2f}</span> · FPR95 {percent(frame.fpr95)} · '
        f"sIoU {percent(frame.siou)}"
    )
    panels = "".join(
        f'<figure><img loading="lazy" alt="{name} of {escape(frame.name)}" src="{uri}">'
        f"<figcaption>{name}</figcaption></figure>"
        for name, uri in zip(PANELS, pictures, strict=True)
    )
    return (
        f"<article {attributes}><h4>{escape(frame.name)}</h4><p>{score} · "
        f"{_count(frame.objects, 'object')}, "
        f"{_count(frame.false_components, 'false component')}</p>"
        f'<div class="panels">{panels}</div></article>'
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _limits(run: Run, cache: ScoreCache, stage: Stage) -> tuple[float, float]:
    """Return a colour scale for all frames: percentiles 1 and 99.9 of up to 31 of them."""
    some = run.scored[:: max(1, len(run.scored) // 16)]
    samples = np.concatenate([load_stage(cache, item, stage)[::4, ::4].ravel() for item in some])
    samples = samples[np.isfinite(samples)]
    if not samples.size:
        return 0.0, 1.0
    low, high = np.percentile(samples, (1, 99.9))
    return float(low), float(high)
