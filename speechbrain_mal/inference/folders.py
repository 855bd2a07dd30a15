"""Many files: in processes, resumable, with what can't be read named."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile
from joblib.externals.loky import ProcessPoolExecutor, as_completed
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm.auto import tqdm

if TYPE_CHECKING:
    from speechbrain_mal.inference.enhancement import MALEnhancement

Task = tuple[Path, Path, float]  # input, output, seconds of audio

SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64"}
RECORD = "enhance.json"


@dataclass
class FolderReport:
    """What became of many files.

    Attributes
    ----------
    enhanced, skipped : list of Path
        Inputs that were enhanced, and those that had been already.
    failures : dict of Path to str
        Inputs that could not be read or written, and why.
    audio_seconds, wall_seconds : float
        Of the enhanced ones, and the time they took.
    """

    enhanced: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failures: dict[Path, str] = field(default_factory=dict)
    audio_seconds: float = 0.0
    wall_seconds: float = 0.0

    @property
    def real_time_factor(self) -> float:
        """Wall time over the audio's, of all processes together."""
        return self.wall_seconds / max(self.audio_seconds, 1e-9)

    def __str__(self) -> str:
        text = f"{len(self.enhanced)} enhanced"
        if self.enhanced:
            text += (
                f" ({self.audio_seconds:.1f} s of audio in {self.wall_seconds:.1f} s: "
                f"real-time factor {self.real_time_factor:.3f})"
            )
        text += f", {len(self.skipped)} already there, {len(self.failures)} failed"
        return "\n".join([text, *self.failures.values()])


def enhance_folder(
    enhancer: MALEnhancement,
    folder: str | os.PathLike,
    output: str | os.PathLike,
    **options: Any,
) -> FolderReport:
    """Enhance all audio files of a folder and of those in it.

    Arguments
    ---------
    enhancer : MALEnhancement
        The enhancer.
    folder, output : path
        Folders; files keep their names and places.
    **options
        As of `enhance_files`.

    Raises
    ------
    ValueError
        When the folder is none, or the output is the folder itself.
    """
    return enhance_files(enhancer, [folder], output, **options)


def enhance_files(
    enhancer: MALEnhancement,
    inputs: Iterable[str | os.PathLike],
    output: str | os.PathLike,
    jobs: int = 1,
    suffix: str | None = None,
    progressbar: bool = True,
    **options: Any,
) -> FolderReport:
    """Enhance files, and those of folders, into a folder.

    A file whose output is there and not older than it is skipped: a stopped call goes
    on when it is given again.

    Arguments
    ---------
    enhancer : MALEnhancement
        The enhancer.
    inputs : iterable of path
        Files and folders. Files of a folder keep their places in it.
    output : path
        Folder, made if needed.
    jobs : int
        Processes, of one thread each; 1 for none but this one.
    suffix : str, optional
        Of all outputs, such as ".flac", instead of each input's own.
    progressbar : bool
        Whether to show one, in seconds of audio, with the real-time factor.
    **options
        `atten_lim_db`, `sample_rate`, `subtype` of `enhance_file`.

    Returns
    -------
    FolderReport
        What was enhanced, what was there already, and what could not be read.

    Raises
    ------
    ValueError
        When an input does not exist or is the output, two outputs have one name, or
        the output holds files of another enhancer or with other options.
    OSError
        When the output can't be written to.
    """
    if jobs < 1:
        raise ValueError(f"jobs is at least 1, not {jobs}.")
    output = Path(output)
    tasks = list(_tasks([Path(path) for path in inputs], output, suffix))
    output.mkdir(parents=True, exist_ok=True)
    _remove_remains(output)
    _check_record(output, {"enhancer": enhancer.fingerprint(), **options})
    report, waiting = FolderReport(), []
    for source, target in tasks:
        if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
            report.skipped.append(source)
        else:
            waiting.append((source, target, _seconds(source)))
    return _enhance_all(enhancer, waiting, jobs, options, report, progressbar)


def enhance_one(
    enhancer: MALEnhancement,
    path: str | os.PathLike,
    output: str | os.PathLike,
    progressbar: bool = True,
    **options: Any,
) -> FolderReport:
    """Enhance one file into another, with a progress bar.

    Arguments
    ---------
    enhancer, progressbar, **options
        As of `enhance_files`.
    path, output : path
        Files. The output's folder is made if needed; the output is written again when
        it is there.
    """
    path, output = Path(path), Path(output)
    tasks = [(path, output, _seconds(path))]
    return _enhance_all(enhancer, tasks, 1, options, FolderReport(), progressbar)


def _enhance_all(
    enhancer: MALEnhancement,
    tasks: list[Task],
    jobs: int,
    options: dict,
    report: FolderReport,
    progressbar: bool,
) -> FolderReport:
    """Enhance what is left to do, and add it to the report."""
    start = time.monotonic()
    with tqdm(
        desc="enhancing",
        total=sum(seconds for *_, seconds in tasks),
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s of audio "
        "[{elapsed}<{remaining}{postfix}]",
        disable=not progressbar,
    ) as bar:

        def progress(seconds: float) -> None:
            bar.update(min(seconds, bar.total - bar.n))
            if bar.n:
                factor = (time.monotonic() - start) / bar.n
                bar.set_postfix_str(f"RTF {factor:.3f}", refresh=False)

        for (source, _, seconds), failure in _run(
            enhancer, tasks, min(jobs, len(tasks)), options, progress
        ):
            if failure:
                report.failures[source] = failure
                bar.write(failure)
            else:
                report.enhanced.append(source)
                report.audio_seconds += seconds
    report.wall_seconds = time.monotonic() - start
    return report


def _tasks(
    inputs: list[Path], output: Path, suffix: str | None
) -> Iterator[tuple[Path, Path]]:
    """Yield every audio file with where its enhanced one goes."""
    taken: dict[Path, Path] = {}
    for given in inputs:
        if not given.exists():
            raise ValueError(f"{given}: there is no such file or folder.")
        if given.is_dir() and output.exists() and output.samefile(given):
            raise ValueError(f"{output} is the input, too: name another folder.")
        for source in _audio_files(given, output):
            place = source.relative_to(given) if given.is_dir() else Path(source.name)
            target = output / (place.with_suffix(suffix) if suffix else place)
            if target in taken:
                raise ValueError(
                    f"{taken[target]} and {source} would both become {target}: "
                    "enhance them into two folders."
                )
            taken[target] = source
            yield source, target


def _audio_files(given: Path, output: Path) -> list[Path]:
    if given.is_file():
        return [given]
    files = sorted(
        path
        for path in given.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(given).parts)
        and not path.is_relative_to(output)
    )
    if not files:
        known = ", ".join(sorted(SUFFIXES))
        raise ValueError(f"{given} holds no audio file ({known}).")
    return files


def _seconds(path: Path) -> float:
    """Return a file's duration as its header tells it; 0 when it can't be read."""
    try:
        return soundfile.info(path).duration
    except (soundfile.LibsndfileError, OSError):
        return 0.0


def _check_record(output: Path, record: dict) -> None:
    """Keep apart what different enhancers or options made."""
    path = output / RECORD
    record = json.loads(json.dumps({k: v for k, v in record.items() if v is not None}))
    if path.exists():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            known = None
        if known != record:
            raise ValueError(
                f"{output} holds files of another enhancer, or with other options "
                f"({path.name} says which): name another folder, or remove it."
            )
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _remove_remains(output: Path) -> None:
    """Remove what killed processes left half-written."""
    for path in output.rglob(".*.partial"):
        process = path.name.split(".")[-2]
        if process.isdigit() and not _is_running(int(process)):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":  # elsewhere the same call would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _run(
    enhancer: MALEnhancement,
    tasks: list[Task],
    jobs: int,
    options: dict,
    progress: Callable[[float], None],
) -> Iterator[tuple[Task, str | None]]:
    """Yield tasks as they are done, each with what went wrong, if anything."""
    if jobs < 2:
        for task in tasks:
            yield task, _enhance(enhancer, *task[:2], {**options, "progress": progress})
        return
    waiting = dict(enumerate(tasks))
    # Workers whose parent was killed end after the timeout, idle.
    pool = ProcessPoolExecutor(
        jobs, timeout=60, initializer=_start_worker, initargs=(enhancer,)
    )
    try:
        futures = {
            pool.submit(_enhance_here, *task[:2], options): number
            for number, task in waiting.items()
        }
        for future in as_completed(futures):
            failure = future.result()
            task = waiting.pop(futures[future])
            progress(task[2])
            yield task, failure
    except TerminatedWorkerError:
        names = ", ".join(str(task[0]) for task in list(waiting.values())[:jobs])
        raise OSError(
            f"A process died (out of memory, or killed) at one of {names}. What is "
            "done is kept: the same call goes on; with one job it names the file."
        ) from None
    finally:
        pool.shutdown(kill_workers=True)


_worker_enhancer: MALEnhancement | None = None  # of a process of `_run`


def _start_worker(enhancer: MALEnhancement) -> None:
    global _worker_enhancer
    import torch

    torch.set_num_threads(1)
    _worker_enhancer = enhancer


def _enhance_here(source: Path, target: Path, options: dict) -> str | None:
    return _enhance(_worker_enhancer, source, target, options)


def _enhance(
    enhancer: MALEnhancement, source: Path, target: Path, options: dict
) -> str | None:
    """Enhance one file; return what is wrong with it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        enhancer.enhance_file(source, target, **options)
    except ValueError as error:  # of the file; what can't be written ends the call
        return str(error)
    return None
