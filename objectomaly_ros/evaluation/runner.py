"""Evaluates detectors and mask generators on datasets: resumable, in parallel, fault by fault."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from objectomaly_ros.bags.frames import natural_order
from objectomaly_ros.evaluation.cache import ScoreCache
from objectomaly_ros.evaluation.datasets import Conventions, Dataset, DatasetError, Frame
from objectomaly_ros.evaluation.frame_files import FrameError, read_labels
from objectomaly_ros.evaluation.frames import ANOMALY, IGNORE, LABEL_NAMES, NORMAL
from objectomaly_ros.evaluation.measure import (
    MapJobs,
    StageFigures,
    measure_consistency,
    measure_stage,
)
from objectomaly_ros.evaluation.model_spec import ModelSpec
from objectomaly_ros.evaluation.stages import STAGES, FrameScorer, Options, ScoredFrame, Stage
from objectomaly_ros.files.reading import printable


@dataclass(frozen=True)
class Failure:
    """A frame that cannot be used, and why (the message names the file)."""

    frame: str
    reason: str


@dataclass(frozen=True)
class Run:
    """One detector with one mask generator on one dataset.

    Attributes:
        detector, masks: their labels; masks "none" for the coarse stage alone.
        stages: the figures by stage; empty if no frame can be used.
        scored: the frames that count.
        failures: the others.
        computed: how many score maps were computed, not found in the cache.
    """

    detector: str
    masks: str
    stages: dict[Stage, StageFigures]
    scored: tuple[ScoredFrame, ...]
    failures: tuple[Failure, ...]
    computed: int

    @property
    def last(self) -> Stage:
        """The last stage that was measured."""
        return "mbp" if "mbp" in self.stages else "coarse"


@dataclass(frozen=True)
class DatasetResult:
    """All runs on one dataset."""

    dataset: Dataset
    runs: tuple[Run, ...]


def evaluate(
    datasets: Sequence[Dataset],
    detectors: Sequence[ModelSpec],
    masks: Sequence[ModelSpec | None],
    options: Options,
) -> list[DatasetResult]:
    """Measure every detector with every mask generator on every dataset, after every stage.

    A frame that cannot be used becomes a `Failure`, and the others are measured. A second call
    after an interruption takes finished scores from the cache.

    Raises:
        ValueError: a worker process dies.
        OSError: the cache cannot be written.
        What loading a model raises.
    """
    results: dict[str, list[Run]] = {dataset.name: [] for dataset in datasets}
    for detector in detectors:
        coarse_known: dict[tuple[str, ...], StageFigures] = {}
        for generator in masks:
            with _workers(detector, generator, options) as each:
                for dataset in datasets:
                    run = _run(dataset, detector, generator, options, each, coarse_known)
                    results[dataset.name].append(run)
    return [DatasetResult(dataset, tuple(results[dataset.name])) for dataset in datasets]


def chosen_frames(dataset: Dataset, limit: int | None, clip: bool = False) -> tuple[Frame, ...]:
    """Return all frames, or `limit` of them, evenly spread; of a clip the first, in time's order.

    The order of time is the natural one of the names in each folder: frame2 before frame10.
    """
    total = len(dataset.frames)
    if clip:
        in_time = sorted(dataset.frames, key=lambda f: (f.image.parent, natural_order(f.image)))
        return tuple(in_time[:limit])
    if limit is None or limit >= total:
        return dataset.frames
    return tuple(dataset.frames[i * total // limit] for i in range(limit))


def check_labels(dataset: Dataset, limit: int | None, clip: bool = False) -> None:
    """Check that the frames hold anomalous and normal pixels, without which there are no figures.

    Frames without readable labels do not count: `evaluate` names them.

    Raises:
        DatasetError: they lack one of the two; the message says how labels are read.
    """
    values, missing, readable = dataset.conventions.label_values, {NORMAL, ANOMALY}, False
    for frame in chosen_frames(dataset, limit, clip):
        with suppress(FrameError):
            missing -= set(np.unique(read_labels(frame.labels, values)).tolist())
            readable = True
        if not missing:
            return
    if not readable:
        return
    names = " or ".join(name for name, label in LABEL_NAMES.items() if label in missing)
    ignored = ", ".join(str(value) for value in sorted(values) if values[value] == IGNORE)
    hint = "255=anomaly" if ANOMALY in missing else "VALUE=normal"
    raise DatasetError(
        f"{dataset.name}: there is nothing to measure, for no pixel of the labels is {names}; "
        f"{ignored or 'no value'} is read as ignore. Say otherwise with --labels {hint}"
    )


def _run(
    dataset: Dataset,
    detector: ModelSpec,
    generator: ModelSpec | None,
    options: Options,
    each: MapJobs,
    coarse_known: dict[tuple[str, ...], StageFigures],
) -> Run:
    bar = partial(
        tqdm, disable=None if options.progress else True, unit="frame", dynamic_ncols=True
    )

    def shown(title: str, function: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Any]:
        return iter(bar(each(function, jobs), title, len(jobs)))

    masks = generator.label if generator else "none"
    frames = chosen_frames(dataset, options.limit, options.clip)
    scored, failures = [], []
    pairs: list[tuple[ScoredFrame, ScoredFrame]] = []
    before: ScoredFrame | None = None
    title = printable(f"{dataset.name}: {detector.label} + {masks}")
    outcomes = shown(title, partial(_score_one, dataset.conventions), frames)
    for frame, outcome in zip(frames, outcomes, strict=True):
        if isinstance(outcome, ScoredFrame):
            scored.append(outcome)
            if before is not None and before.frame.image.parent == frame.image.parent:
                pairs.append((before, outcome))
            before = outcome
        else:
            failures.append(Failure(frame.name, outcome))
            before = None  # its neighbours are not consecutive
    cache = ScoreCache(options.cache)
    stages: dict[Stage, StageFigures] = {}
    for stage in STAGES if generator else STAGES[:1]:
        if not scored:
            break
        keys = (dataset.name, *(item.coarse for item in scored))
        if stage == "coarse" and keys in coarse_known:
            stages[stage] = coarse_known[keys]
            continue
        measured = partial(shown, f"  measuring {stage}")
        stages[stage] = measure_stage(cache, scored, stage, dataset.conventions, measured)
        if stage == "coarse":
            coarse_known[keys] = stages[stage]
    if options.clip:
        compared = partial(shown, "  comparing frames")
        figures = measure_consistency(
            cache, pairs, list(stages.values()), dataset.conventions, compared
        )
        stages = {item.stage: item for item in figures}
    computed = sum(item.computed for item in scored)
    return Run(detector.label, masks, stages, tuple(scored), tuple(failures), computed)


# The scorer of this process, so that a worker loads its models once.
_scorer: FrameScorer | None = None


def _start(
    detector: ModelSpec, generator: ModelSpec | None, options: Options, threads: int | None
) -> None:
    global _scorer
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # torch and ONNX models read it on loading
    _scorer = FrameScorer(detector, generator, options)
    if threads is not None:
        cv2.setNumThreads(threads)
        if torch := sys.modules.get("torch"):  # loads slowly, and not every detector needs it
            torch.set_num_threads(threads)


def _score_one(conventions: Conventions, frame: Frame) -> ScoredFrame | str:
    assert _scorer is not None
    try:
        return _scorer.score(frame, conventions)
    except FrameError as error:
        return str(error)


@contextmanager
def _workers(
    detector: ModelSpec, generator: ModelSpec | None, options: Options
) -> Iterator[MapJobs]:
    """Give a function that maps over jobs in order, in this process or in workers."""
    if options.workers <= 1:
        _start(detector, generator, options, None)
        yield map
        return
    FrameScorer(detector, generator, options)  # raises here instead of in a worker
    threads = max(1, len(os.sched_getaffinity(0)) // options.workers)
    pool = ProcessPoolExecutor(
        options.workers,
        mp_context=get_context("spawn"),  # a fork would copy locks of torch's threads
        initializer=_start,
        initargs=(detector, generator, options, threads),
    )
    try:
        yield pool.map
    except BrokenProcessPool as error:
        raise ValueError(
            "a worker process died (out of memory?); run the same command again with fewer "
            "--workers: finished frames are kept"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
