"""Evaluates detectors and mask generators on datasets: resumable, in parallel, fault by fault."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
from tqdm import tqdm

from objectomaly_ros.evaluation.cache import ScoreCache
from objectomaly_ros.evaluation.datasets import Conventions, Dataset, Frame
from objectomaly_ros.evaluation.frame_files import FrameError
from objectomaly_ros.evaluation.measure import StageFigures, measure_stage
from objectomaly_ros.evaluation.model_spec import ModelSpec
from objectomaly_ros.evaluation.stages import STAGES, FrameScorer, ScoredFrame, Stage
from objectomaly_ros.oasc import Overlap

_MapJobs = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]


@dataclass(frozen=True)
class Failure:
    """A frame that could not be used, and why (the message names the file)."""

    frame: str
    reason: str


@dataclass(frozen=True)
class Run:
    """One detector with one mask generator on one dataset.

    Attributes:
        detector, masks: as given on the command line; masks "none" for the coarse stage alone.
        stages: what was measured, by stage; empty where no frame could be used.
        scored: the frames that count.
        failures: the frames that do not.
        computed: score maps computed in this run; the others came from the cache.
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


@dataclass(frozen=True)
class Options:
    """How to evaluate.

    Attributes:
        cache: folder for the scores.
        device: torch device.
        workers: processes; 1 works in this one.
        limit: use at most this many frames of a dataset, evenly spread over it.
        progress: show bars on stderr.
        overlap, residual: how OASC joins masks, see `rule_for`.
    """

    cache: Path
    device: str = "cpu"
    workers: int = 1
    limit: int | None = None
    progress: bool = True
    overlap: Overlap | None = None
    residual: float | None = None


def evaluate(
    datasets: Sequence[Dataset],
    detectors: Sequence[ModelSpec],
    masks: Sequence[ModelSpec | None],
    options: Options,
) -> list[DatasetResult]:
    """Measure every detector with every mask generator on every dataset, after every stage.

    A frame that cannot be used is left out and reported as a `Failure`; the rest goes on. Run again
    after an interruption, it takes the scores that are ready from the cache.

    Raises:
        What loading a model raises; ValueError where a worker process dies.
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


def chosen_frames(dataset: Dataset, limit: int | None) -> tuple[Frame, ...]:
    """Return all frames, or `limit` of them, evenly spread."""
    total = len(dataset.frames)
    if limit is None or limit >= total:
        return dataset.frames
    return tuple(dataset.frames[i * total // limit] for i in range(limit))


def _run(
    dataset: Dataset,
    detector: ModelSpec,
    generator: ModelSpec | None,
    options: Options,
    each: _MapJobs,
    coarse_known: dict[tuple[str, ...], StageFigures],
) -> Run:
    masks = generator.label if generator else "none"
    title = f"{dataset.name}: {detector.label} + {masks}"
    bar = partial(tqdm, disable=not options.progress, unit="frame", dynamic_ncols=True)
    frames = chosen_frames(dataset, options.limit)
    scored, failures = [], []
    outcomes = each(partial(_score_one, dataset.conventions), frames)
    for frame, outcome in zip(frames, bar(outcomes, total=len(frames), desc=title), strict=True):
        if isinstance(outcome, ScoredFrame):
            scored.append(outcome)
        else:
            failures.append(Failure(frame.name, outcome))
    cache = ScoreCache(options.cache)
    stages: dict[Stage, StageFigures] = {}
    for stage in STAGES if generator else STAGES[:1]:
        if not scored:
            break
        keys = (dataset.name, *(item.coarse for item in scored))
        if stage == "coarse" and keys in coarse_known:
            stages[stage] = coarse_known[keys]
            continue

        def shown(function: Callable[[Any], Any], jobs: Sequence[Any], stage: Stage = stage) -> Any:
            return bar(each(function, jobs), total=len(jobs), desc=f"  measuring {stage}")

        stages[stage] = measure_stage(cache, scored, stage, dataset.conventions, shown)
        if stage == "coarse":
            coarse_known[keys] = stages[stage]
    computed = sum(item.computed for item in scored)
    return Run(detector.label, masks, stages, tuple(scored), tuple(failures), computed)


# The scorer of this process: workers load their models once, not once a frame.
_scorer: FrameScorer | None = None


def _frame_scorer(
    detector: ModelSpec, generator: ModelSpec | None, options: Options
) -> FrameScorer:
    return FrameScorer(
        detector,
        generator,
        options.device,
        options.cache,
        overlap=options.overlap,
        residual=options.residual,
    )


def _start(
    detector: ModelSpec, generator: ModelSpec | None, options: Options, threads: int | None
) -> None:
    global _scorer
    _scorer = _frame_scorer(detector, generator, options)
    if threads is not None:
        cv2.setNumThreads(threads)
        if torch := sys.modules.get("torch"):  # not every detector needs it, and it loads slowly
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
) -> Iterator[_MapJobs]:
    """Give a function that maps over jobs in order, here or in worker processes."""
    if options.workers <= 1:
        _start(detector, generator, options, None)
        yield map
        return
    _frame_scorer(detector, generator, options)  # fails here, not in a worker
    threads = max(1, len(os.sched_getaffinity(0)) // options.workers)
    pool = ProcessPoolExecutor(
        options.workers,
        mp_context=get_context("spawn"),  # a fork would share locks of torch's threads
        initializer=_start,
        initargs=(detector, generator, options, threads),
    )
    try:
        yield pool.map
    except BrokenProcessPool as error:
        raise ValueError(
            "a worker process ended before its work was done (out of memory?); run the same "
            "command again, with fewer --workers: finished frames are kept"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
