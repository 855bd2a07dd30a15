"""Score clips in processes, so that nothing is lost and no number depends on how."""

import math
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from speechbrain_mal.metrics.clips import Clip, read_mono
from speechbrain_mal.metrics.progress import Progress, Results
from speechbrain_mal.metrics.registry import METRICS, check_metrics
from speechbrain_mal.metrics.table import ScoreTable
from speechbrain_mal.processes import DIED, run_tasks


def evaluate(
    clips: Iterable[Clip],
    metrics: Sequence[str],
    options: dict[str, dict] | None = None,
    jobs: int = 1,
    progress_file: str | os.PathLike | None = None,
    progressbar: bool = False,
) -> ScoreTable:
    """Score clips.

    A clip that a metric can't score is named with the reason, and left out of that
    metric's mean. That goes for files that are missing or damaged, pairs of different
    length or rate, and for a clip at which the process dies.

    Arguments
    ---------
    clips : iterable of Clip
        What to score.
    metrics : sequence of str
        Names out of `METRICS`.
    options : dict of str to dict, optional
        Further arguments of a metric's function, by metric.
    jobs : int
        Processes; 1 for none but this one. The scores are the same for any number.
    progress_file : path, optional
        Keeps every result as it comes. A later call with the same file computes only
        what is new: clips, metrics, files or options that have changed.
    progressbar : bool
        Whether to show one.

    Returns
    -------
    ScoreTable
        The scores, in the order of the clips.

    Raises
    ------
    ValueError
        When a metric is unknown, two clips have one name, or the progress file is none.
    ImportError
        When a metric's package is not installed; it names the extra that brings it.

    Example
    -------
    >>> clean = np.sin(np.arange(16000) / 10)
    >>> noisy = clean + 0.1 * np.cos(np.arange(16000) / 10)
    >>> good = Clip("good", noisy, clean, 16000)
    >>> bad = Clip("bad", noisy, 0 * clean, 16000)
    >>> table = evaluate([good, bad], ["si_sdr"])
    >>> round(table.means()["si_sdr"]), table.failures
    (20, ['bad: SI-SDR: the clean clip is silent'])
    """
    clips, options = list(clips), options or {}
    check_metrics(list(metrics), options)
    if len({clip.name for clip in clips}) < len(clips):
        raise ValueError("Two clips have the same name: rows would be lost.")
    progress = Progress(progress_file, options)
    results = {clip.name: progress.known(clip) for clip in clips}
    tasks = []
    for clip in clips:
        missing = [name for name in metrics if name not in results[clip.name]]
        if missing:
            tasks.append((clip, missing, options))
    with tqdm(
        desc="scoring",
        unit="clip",
        total=len(clips),
        initial=len(clips) - len(tasks),
        disable=not progressbar,
    ) as bar:
        for clip, new in _run(tasks, jobs):
            results[clip.name].update(new)
            progress.keep(clip, results[clip.name])
            bar.update()
    table = ScoreTable(metrics)
    for name, result in results.items():
        table.add(name, result)
    return table


def _run(tasks: list[tuple], jobs: int) -> Iterator[tuple[Clip, Results]]:
    """Yield clips with their results, as they come."""
    if jobs == 1 or len(tasks) < 2:
        for name in {name for _, metrics, _ in tasks for name in metrics}:
            METRICS[name].load()  # and the libraries that it brings
        # In one thread, as in processes: several add up in another order.
        with threadpool_limits(1, "blas"):
            for task in tasks:
                yield task[0], score_clip(*task)
        return
    for number, result in run_tasks(score_clip, tasks, jobs):
        clip, metrics, _ = tasks[number]
        if result == DIED:
            result = {name: {"reason": f"{DIED} at this clip"} for name in metrics}
        yield clip, result


def score_clip(clip: Clip, metrics: Sequence[str], options: dict[str, dict]) -> Results:
    """Return the results of one clip; errors of the set-up are raised.

    Arguments
    ---------
    clip, metrics, options
        As of `evaluate`.

    Raises
    ------
    ImportError, OSError
        When a metric's package or model file is missing.
    """
    try:
        enhanced, rate = read_mono(clip.enhanced, clip.sample_rate)
    except ValueError as error:
        return {name: {"reason": str(error)} for name in metrics}
    clean, problem = None, "there is no clean clip to compare with"
    if clip.clean is not None:
        try:
            clean, problem = _reference(clip, enhanced, rate), None
        except ValueError as error:
            problem = str(error)
    results = {}
    for name in metrics:
        if METRICS[name].needs_clean and problem:
            results[name] = {"reason": problem}
            continue
        further = dict(options.get(name, {}))
        if METRICS[name].transcript:
            further["transcript"] = clip.transcript
        results[name] = _score(name, enhanced, clean, rate, further)
    return results


def _reference(clip: Clip, enhanced: np.ndarray, rate: int) -> np.ndarray:
    clean, clean_rate = read_mono(clip.clean, clip.sample_rate)
    if clean_rate != rate:
        raise ValueError(
            f"the enhanced clip has {rate} Hz and the clean one {clean_rate} Hz: "
            "resample one of them"
        )
    if len(clean) != len(enhanced):
        raise ValueError(
            f"the enhanced clip has {len(enhanced)} samples and the clean one "
            f"{len(clean)}: they have to be aligned and of one length"
        )
    return clean


def _score(
    name: str,
    enhanced: np.ndarray,
    clean: np.ndarray | None,
    rate: int,
    options: dict,
) -> dict:
    metric = METRICS[name]
    try:
        value = metric.load()(enhanced, clean, rate, **options)
    except (ImportError, OSError):
        raise
    except ValueError as error:  # a clip that the metric is not defined for
        return {"reason": str(error)}
    except Exception as error:  # packages fail in their own ways on odd clips
        return {"reason": f"{name}: {type(error).__name__}: {error}"}
    scores = value if isinstance(value, dict) else {next(iter(metric.columns)): value}
    if any(map(math.isnan, scores.values())):
        return {"reason": f"{name}: the score is NaN"}
    return {"scores": {column: float(score) for column, score in scores.items()}}
