"""Many files: in processes, resumable; a bad one is named and the rest is done."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm.auto import tqdm

from speechbrain_mal.audio import AudioError, Found, SeenFiles, find_audio, stamp_of
from speechbrain_mal.audio.reader import header_seconds
from speechbrain_mal.audio.writer import format_of
from speechbrain_mal.files import (
    JSON_BYTES,
    parse_json,
    printable,
    read_bytes,
    remove_partials,
    write_text,
)
from speechbrain_mal.inference.files import check_options
from speechbrain_mal.processes import DIED, run_tasks

if TYPE_CHECKING:
    from speechbrain_mal.inference.enhancement import MALEnhancement

RECORD, SEEN = "enhance.json", "enhance.jsonl"  # how, and which files were done
# Errors of writing that are one file's: its name is too long, or a folder is there.
_OF_ONE_FILE = (errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
# Of one file: why it failed, what else there is to know, its seconds of audio.
_Result = tuple[str, str, float]


@dataclass
class FolderReport:
    """What became of many files, by their inputs."""

    enhanced: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)  # enhanced already
    failures: dict[Path, str] = field(default_factory=dict)  # and why
    notes: dict[Path, str] = field(default_factory=dict)  # what else there is to know
    ignored: str = ""  # which audio files were not looked at, and what to do
    audio_seconds: float = 0.0  # of the enhanced ones
    wall_seconds: float = 0.0

    def __str__(self) -> str:
        text, audio, wall = "", self.audio_seconds, self.wall_seconds
        if self.enhanced:  # of all processes together
            factor = f"real-time factor {wall / max(audio, 1e-9):.3f}"
            text = f" ({audio:.1f} s of audio in {wall:.1f} s: {factor})"
        text = f"{len(self.enhanced)} enhanced{text}, {len(self.skipped)} already there"
        text += f", {len(self.failures)} failed"
        notes = [f"{printable(path)}: {note}." for path, note in self.notes.items()]
        ignored = [self.ignored] if self.ignored else []
        return "\n".join([text, *self.failures.values(), *notes, *ignored])


def enhance_files(
    enhancer: MALEnhancement,
    inputs: Iterable[str | os.PathLike],
    output: str | os.PathLike,
    jobs: int = 1,
    suffix: str | None = None,
    progressbar: bool = True,
    **options: Any,
) -> FolderReport:
    """Enhance files, and those of folders, into a folder; it is made if needed.

    A file that was enhanced and has not changed since is skipped: a stopped call goes
    on when it is given again. ValueError when an option can't be (nothing is written
    then), an input does not exist or is the output, there is no audio in it, or the
    output holds files of another enhancer or with other options. OSError when the
    output can't be written to.

    Arguments
    ---------
    enhancer : MALEnhancement
        The enhancer.
    inputs : iterable of path
        Files and folders. Files of a folder keep their places in it; hidden ones are
        left out, links are followed.
    output : path
        The folder.
    jobs : int
        Processes, of one thread each; 1 for none but this one.
    suffix : str, optional
        Of all outputs, such as ".flac", instead of each input's own (".wav" where that
        can't be written).
    progressbar : bool
        Whether to show one, in seconds of audio, with the real-time factor.
    **options
        `atten_lim_db`, `sample_rate`, `subtype` of `enhance_file`.
    """
    check_options(**options)
    if jobs < 1:
        raise ValueError(f"jobs is at least 1, not {jobs}.")
    if suffix is not None and format_of(suffix) is None:
        raise ValueError(f"There is no format {suffix!r} to write: take .wav or .flac.")
    output, report = Path(output), FolderReport()
    targets, found = _targets([Path(path) for path in inputs], output, suffix)
    report.failures, report.ignored = found.broken, found.ignored_note()
    output.mkdir(parents=True, exist_ok=True)
    remove_partials(output)
    _check_record(output, {"enhancer": enhancer.fingerprint(), **options})
    seen = SeenFiles(output / SEEN)
    tasks = []
    for target, source in targets.items():
        name = target.relative_to(output).as_posix()
        # In this order: to look for a name that is too long is an error.
        if seen.get(name, stamp_of(source)) and target.exists():
            report.skipped.append(source)
        else:
            tasks.append((source, target, seen, options))
    return _enhance_all(enhancer, tasks, jobs, report, progressbar)


def enhance_one(
    enhancer: MALEnhancement,
    path: str | os.PathLike,
    output: str | os.PathLike,
    progressbar: bool = True,
    **options: Any,
) -> FolderReport:
    """Enhance a file into another, anew if that is there; see `enhance_files`."""
    check_options(**options)
    task = Path(path), Path(output), None, options
    return _enhance_all(enhancer, [task], 1, FolderReport(), progressbar)


def _targets(
    inputs: list[Path], output: Path, suffix: str | None = None
) -> tuple[dict[Path, Path], Found]:
    """Return every audio file by where its enhanced one goes, and what can't be one.

    Arguments are those of `enhance_files`; ValueError when an input is missing or the
    output itself, or holds no audio.
    """
    targets, found = {}, Found()
    for given in inputs:
        if not os.path.lexists(given):
            raise ValueError(f"{printable(given)}: there is no such file or folder.")
        folder, files = given.parent, [given]
        if given.is_dir():
            if _identity(output) == _identity(given):
                place = printable(output)
                raise ValueError(f"{place} is the input, too: name another folder.")
            here = find_audio(given, leave_out=output)
            if not (here.files or here.broken or here.ignored):
                raise ValueError(f"{printable(given)} holds no audio file.")
            folder, files = given, here.files
            found.ignored += here.ignored
            found.broken |= here.broken
        found.files += files
        for source in files:
            place = source.relative_to(folder)
            if suffix or format_of(place.suffix) is None:
                place = place.with_suffix(suffix or ".wav")
            target = output / place
            if targets.get(target) not in (None, source):
                found.broken[source] = (
                    f"{printable(source)}: {printable(targets[target])} has the same "
                    "output: enhance it into another folder."
                )
            else:
                targets[target] = source
    taken = {_identity(source) for source in found.files} - {None}
    for target in [target for target in targets if _identity(target) in taken]:
        source, place = targets.pop(target), printable(target)
        found.broken[source] = (
            f"{printable(source)}: its output would replace {place}, an input: name "
            "another folder."
        )
    return targets, found


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what two names of one file have in common; None if there is no file."""
    with contextlib.suppress(OSError):
        status = os.stat(path)
        return status.st_dev, status.st_ino
    return None


def _check_record(output: Path, record: dict) -> None:
    """Keep apart what different enhancers or options made."""
    path = output / RECORD
    # No limit of the attenuation is infinity, which JSON can't say.
    record = {k: v for k, v in record.items() if v is not None and v != math.inf}
    if not os.path.lexists(path):
        write_text(path, json.dumps(record, indent=2) + "\n")
        return
    known = None
    with contextlib.suppress(ValueError):
        known = parse_json(read_bytes(output, RECORD, JSON_BYTES), printable(path))
    if known != record:
        raise ValueError(
            f"{printable(output)} holds files of another enhancer, or with other "
            f"options ({RECORD} says which): name another folder, or remove it."
        )


def _enhance_all(
    enhancer: MALEnhancement,
    tasks: list[tuple],
    jobs: int,
    report: FolderReport,
    progressbar: bool,
) -> FolderReport:
    """Enhance what is left to do, and add it to the report."""
    start = time.monotonic()
    with tqdm(
        desc="enhancing",
        total=sum(header_seconds(source) for source, *_ in tasks),
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s of audio "
        "[{elapsed}<{remaining}{postfix}]",
        disable=not progressbar,
    ) as bar:

        def progress(seconds: float) -> None:
            bar.update(min(seconds, max(bar.total - bar.n, 0)))
            if bar.n:
                factor = (time.monotonic() - start) / bar.n
                bar.set_postfix_str(f"RTF {factor:.3f}", refresh=False)

        if alone := min(jobs, len(tasks)) < 2:
            results = enumerate(_enhance(enhancer, *task, progress) for task in tasks)
        else:
            begin = _start_worker, (enhancer,)
            results = run_tasks(_enhance_here, tasks, jobs, *begin)
        for number, result in results:
            source = tasks[number][0]
            if result == DIED:
                result = f"{printable(source)}: {DIED}.", "", 0.0
            failure, notes, seconds = result
            if failure:
                report.failures[source] = failure
                bar.write(failure, file=sys.stderr)
                continue
            report.enhanced.append(source)
            report.audio_seconds += seconds
            if not alone:
                progress(seconds)
            if notes:
                report.notes[source] = notes
    report.wall_seconds = time.monotonic() - start
    return report


_worker_enhancer: MALEnhancement | None = None  # of a process of `run_tasks`


def _start_worker(enhancer: MALEnhancement) -> None:
    global _worker_enhancer
    torch.set_num_threads(1)
    _worker_enhancer = enhancer


def _enhance_here(*task: Any) -> _Result:
    return _enhance(_worker_enhancer, *task)


def _enhance(
    enhancer: MALEnhancement,
    source: Path,
    target: Path,
    seen: SeenFiles | None,
    options: dict,
    progress: Callable[[float], None] = lambda seconds: None,
) -> _Result:
    """Enhance one file, and remember it; what is wrong with it is returned."""
    seconds = 0.0

    def count(done: float) -> None:
        nonlocal seconds
        seconds += done
        progress(done)

    stamp = stamp_of(source)  # a file that changes meanwhile is another one
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        notes = enhancer.enhance_file(source, target, progress=count, **options)
    except (ValueError, MemoryError, torch.OutOfMemoryError) as error:
        said = str(error) or "out of memory"  # Python's own has no words
        named = isinstance(error, AudioError)
        return said if named else f"{printable(source)}: {said}", "", 0.0
    except OSError as error:
        if error.errno not in _OF_ONE_FILE:
            raise
        return f"{printable(target)}: {error.strerror}.", "", 0.0
    if seen:
        seen.add(target.relative_to(seen.path.parent).as_posix(), stamp, True)
    return "", "; ".join(notes), seconds
