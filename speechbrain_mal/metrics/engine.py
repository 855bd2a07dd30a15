"""Score clips in processes, so that nothing is lost and no number depends on how."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from speechbrain_mal.audio import SeenFiles, stamp_of
from speechbrain_mal.files import printable
from speechbrain_mal.metrics.clips import Clip, read_mono
from speechbrain_mal.metrics.registry import METRICS, check_metrics
from speechbrain_mal.metrics.table import ScoreTable
from speechbrain_mal.processes import DIED, run_tasks

Results = dict[str, dict]  # by metric: {"scores": {column: number}} or {"reason": text}


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
        What to score; the rows of the table, in this order.
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

    Raises
    ------
    ValueError
        When a metric or an option is unknown, two clips have one name, or the progress
        file is another one.
    FileNotFoundError, ImportError
        When a metric's weights or package are missing; it says where they come from.

    Example
    -------
    >>> clean = np.sin(np.arange(16000) / 10)
    >>> noisy = clean + 0.1 * np.cos(np.arange(16000) / 10)
    >>> good = Clip("good", noisy, clean, 16000)
    >>> bad = Clip("bad", noisy, 0 * clean, 16000)
    >>> table = evaluate([good, bad], ["si_sdr"])
    >>> round(table.means()["si_sdr"]), table.failures
    (20, ['bad: si_sdr: the clean clip is silent'])
    """
    clips, options = list(clips), options or {}
    check_metrics(metrics, options)
    if len({clip.name for clip in clips}) < len(clips):
        raise ValueError("Two clips have the same name: rows would be lost.")
    progress = _Progress(progress_file, options)
    results = {clip.name: progress.known(clip) for clip in clips}
    tasks = []
    for clip in clips:
        if missing := [name for name in metrics if name not in results[clip.name]]:
            tasks.append((clip, missing, options))
    counts = {"total": len(clips), "initial": len(clips) - len(tasks)}
    with tqdm(desc="scoring", unit="clip", disable=not progressbar, **counts) as bar:
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
                yield task[0], _score_clip(*task)
        return
    for number, result in run_tasks(_score_clip, tasks, jobs):
        clip, metrics, _ = tasks[number]
        if result == DIED:
            result = {name: {"reason": f"{DIED} at this clip"} for name in metrics}
        yield clip, result


def _score_clip(
    clip: Clip, metrics: Sequence[str], options: dict[str, dict]
) -> Results:
    """Return the results of one clip; errors of the set-up are raised."""
    try:
        enhanced, rate = read_mono(clip.enhanced, clip.sample_rate)
    except ValueError as error:
        return {name: {"reason": str(error)} for name in metrics}
    clean, problem = None, "there is no clean clip to compare with"
    if clip.clean is not None:
        try:
            clean = _reference(clip, enhanced, rate)
        except ValueError as error:
            problem = str(error)
    results = {}
    for name in metrics:
        metric, further = METRICS[name], dict(options.get(name, {}))
        if metric.needs_clean and clean is None:
            results[name] = {"reason": problem}
            continue
        if metric.transcript:
            further["transcript"] = clip.transcript
        try:
            scores = metric.score(enhanced, clean, rate, **further)
            results[name] = {"scores": scores}
        except (ImportError, OSError):
            raise
        except ValueError as error:  # a clip that the metric is not defined for
            results[name] = {"reason": f"{name}: {error}"}
        except Exception as error:  # packages fail in their own ways on odd clips
            results[name] = {"reason": f"{name}: {type(error).__name__}: {error}"}
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


class _Progress:
    """Results on disk, a line a clip, each valid while its files and options are."""

    def __init__(self, path: str | os.PathLike | None, options: dict[str, dict]):
        self._options = {
            name: {key: str(value) for key, value in given.items()}
            for name, given in options.items()
        }
        self._seen = None
        if path is None:
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if os.path.isfile(path):
            with open(path, "rb") as file:
                if not b'["'.startswith(file.read(2)):
                    raise ValueError(
                        f"{printable(path)} holds no results of an evaluation: move "
                        "the file away, or write to another folder."
                    )
        self._seen = SeenFiles(path)

    def known(self, clip: Clip) -> Results:
        """Return the results that still hold."""
        kept = self._seen and self._seen.get(clip.name, _files(clip))
        return {
            name: result
            for name, (options, result) in (kept or {}).items()
            if options == self._options.get(name, {})
        }

    def keep(self, clip: Clip, results: Results) -> None:
        """Add a clip's results; lines written earlier are superseded."""
        kept = {
            name: (self._options.get(name, {}), result)
            for name, result in results.items()
            if not result.get("reason", "").startswith(DIED)
        }
        if self._seen and kept and (files := _files(clip)):
            self._seen.add(clip.name, files, kept)


def _files(clip: Clip) -> list:
    """Return what tells whether files have changed; nothing for waveforms."""
    facts = []
    for audio in (clip.enhanced, clip.clean):
        if isinstance(audio, np.ndarray):
            return []
        stamp = stamp_of(audio) if audio else []
        facts.append([str(audio), *stamp] if stamp else None)
    return [*facts, clip.transcript]
