"""Many files: in processes, resumable, with what can't be read named."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from speechbrain_mal.inference.processes import Task, enhance_each
from speechbrain_mal.inference.targets import (
    check_record,
    remove_remains,
    seconds_of,
    targets_of,
)

if TYPE_CHECKING:
    from speechbrain_mal.inference.enhancement import MALEnhancement


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
    pairs = list(targets_of([Path(path) for path in inputs], output, suffix))
    output.mkdir(parents=True, exist_ok=True)
    remove_remains(output)
    check_record(output, {"enhancer": enhancer.fingerprint(), **options})
    report, waiting = FolderReport(), []
    for source, target in pairs:
        if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
            report.skipped.append(source)
        else:
            waiting.append((source, target, seconds_of(source)))
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
    tasks = [(path, output, seconds_of(path))]
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

        for (source, _, seconds), failure in enhance_each(
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
