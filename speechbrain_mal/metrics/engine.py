"""Score clips in processes, so that nothing is lost and no number depends on how."""

import contextlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from joblib.externals.loky import ProcessPoolExecutor, as_completed
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm.auto import tqdm

from speechbrain_mal.metrics.clips import Clip, read_audio
from speechbrain_mal.metrics.registry import METRICS, check_metrics
from speechbrain_mal.metrics.table import ScoreTable

Results = dict[str, dict]  # by metric: {"scores": {column: number}} or {"reason": text}

_DIED = "the process died (out of memory, or killed) at this clip"
# One thread a process: several would compete, and could add up in another order.
_ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "NUMBA")
}


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
        When a metric is unknown, or two clips have one name.
    ModuleNotFoundError
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
    store = _Store(progress_file, options)
    results = {clip.name: store.known(clip) for clip in clips}
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
        for (clip, *_), new in _run(tasks, jobs):
            results[clip.name].update(new)
            store.keep(clip, results[clip.name])
            bar.update()
    table = ScoreTable(metrics)
    for name, result in results.items():
        table.add(name, result)
    return table


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
        enhanced, rate = read_audio(clip.enhanced, clip.sample_rate)
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
    clean, clean_rate = read_audio(clip.clean, clip.sample_rate)
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


def _run(tasks: list[tuple], jobs: int) -> Iterator[tuple[tuple, Results]]:
    """Yield tasks with their results, as they come."""
    if jobs == 1 or len(tasks) < 2:
        yield from ((task, score_clip(*task)) for task in tasks)
        return
    waiting = dict(enumerate(tasks))
    try:
        yield from _in_processes(waiting, min(jobs, len(tasks)))
    except TerminatedWorkerError:
        # Which of the clips at work killed its process is not known: one at a time.
        for number in list(waiting):
            alone = {number: waiting[number]}
            try:
                yield from _in_processes(alone, 1)
            except TerminatedWorkerError:
                task = waiting[number]
                yield task, {name: {"reason": _DIED} for name in task[1]}


def _in_processes(
    waiting: dict[int, tuple], processes: int
) -> Iterator[tuple[tuple, Results]]:
    """Yield tasks with their results, and take them out of those that wait."""
    # Workers whose parent was killed end after the timeout, idle.
    pool = ProcessPoolExecutor(processes, timeout=60, env=_ONE_THREAD)
    try:
        futures = {pool.submit(score_clip, *task): n for n, task in waiting.items()}
        for future in as_completed(futures):
            result = future.result()
            yield waiting.pop(futures[future]), result
    finally:
        pool.shutdown(kill_workers=True)


class _Store:
    """Results on disk, one line a clip, each valid while its files and options are."""

    def __init__(self, path: str | os.PathLike | None, options: dict[str, dict]):
        self.path = path
        self.options = options
        self.lines: dict[str, dict] = {}
        if path is None:
            return
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a+", encoding="utf-8") as file:
            file.seek(0)
            content = file.read()
            for line in content.splitlines():
                with contextlib.suppress(ValueError, KeyError):  # cut off by a kill
                    record = json.loads(line)
                    self.lines[record["clip"]] = record
            if content and not content.endswith("\n"):
                file.write("\n")

    def known(self, clip: Clip) -> Results:
        """Return the results that still hold."""
        record = self.lines.get(clip.name)
        if record is None or record["files"] != _files(clip):
            return {}
        return {
            name: result
            for name, result in record["results"].items()
            if record["options"][name] == self._options(name)
        }

    def keep(self, clip: Clip, results: Results) -> None:
        """Add a clip's results; lines written earlier are superseded."""
        results = {k: r for k, r in results.items() if r.get("reason") != _DIED}
        if self.path is None or _files(clip) is None or not results:
            return
        record = {
            "clip": clip.name,
            "files": _files(clip),
            "options": {name: self._options(name) for name in results},
            "results": results,
        }
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def _options(self, name: str) -> dict:
        return {key: str(value) for key, value in self.options.get(name, {}).items()}


def _files(clip: Clip) -> list | None:
    """Return what tells whether files have changed; None for waveforms."""
    facts = []
    for audio in (clip.enhanced, clip.clean):
        if isinstance(audio, np.ndarray):
            return None
        stat = Path(audio).stat() if audio and Path(audio).exists() else None
        facts.append([str(audio), stat.st_size, stat.st_mtime_ns] if stat else None)
    return [*facts, clip.transcript]
