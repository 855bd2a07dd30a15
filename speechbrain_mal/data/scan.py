"""One look at every audio file of a corpus: its length, and what is wrong with it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from speechbrain_mal.audio import (
    AudioError,
    AudioFile,
    SeenFiles,
    find_audio,
    stamp_of,
)
from speechbrain_mal.audio.ffmpeg import FFMPEG_SUFFIXES
from speechbrain_mal.files import printable

_SECONDS = 20.0  # decoded at a time
_SILENT_PEAK = 1e-3  # -60 dB of full scale
_FULL_SCALE = 0.999
_CLIPPED_SHARE = 1e-3  # of the samples at full scale; loud speech has single ones


class Facts(NamedTuple):
    """What was seen of a file."""

    samples: int = 0  # of a channel; 0 where there is a problem
    sample_rate: int = 0  # Hz
    channels: int = 0
    problem: str = ""  # what makes it unusable
    remark: str = ""  # "silent" or "clipped", of the first channel


def list_audio(folder: Path, root: Path) -> list[str]:
    """Return the audio files of a folder, usable or not, by their names in `root`."""
    found = find_audio(folder, only_seekable=True)
    for path, reason in found.broken.items():
        if path.is_dir():
            raise PermissionError(reason)
    paths = [*found.files, *found.broken, *found.ignored]
    if not paths:
        raise ValueError(
            f"{printable(folder)} has no audio file, such as .wav or .flac: is it "
            "fully unpacked?"
        )
    return sorted(path.relative_to(root).as_posix() for path in paths)


@contextlib.contextmanager
def scan(
    folder: Path, names: Sequence[str], save_folder: Path, decode: bool = True
) -> Iterator[Iterator[tuple[str, Facts]]]:
    """Give the names and facts of files in a folder, one after another.

    Files are read in threads, with a progress bar, and what was seen of them is kept in
    `save_folder`: a scan that was stopped goes on. Only decoding finds damaged, silent
    and clipped files; otherwise headers are read.
    """
    save_folder.mkdir(parents=True, exist_ok=True)
    seen = SeenFiles(save_folder / "scan.jsonl")

    def look(name: str) -> Facts:
        stamp = stamp_of(folder / name)
        match seen.get(name, stamp):
            case [bool(decoded), int(), int(), int(), str(), str()] as known if (
                decoded or not decode
            ):
                return Facts(*known[1:])
        facts = _look(folder / name, decode)
        seen.add(name, stamp, [decode, *facts])
        return facts

    def results() -> Iterator[tuple[str, Facts]]:
        for name, facts in zip(names, pool.map(look, names), strict=True):
            bar.update()
            yield name, facts

    # soundfile releases the GIL while it decodes, so threads are enough.
    pool = ThreadPoolExecutor()
    try:
        with tqdm(desc="Checking audio", total=len(names), unit="file") as bar:
            yield results()
    finally:
        pool.shutdown(cancel_futures=True)


def _look(path: Path, decode: bool) -> Facts:
    pieces = "exact pieces of it can't be read: convert it to .wav or .flac."
    if path.suffix.lower() in FFMPEG_SUFFIXES:
        return Facts(problem=pieces)
    try:
        with AudioFile(path) as audio:
            # What ffmpeg decodes has no subtype.
            if audio.samples is None or (audio.subtype or "MPEG").startswith("MPEG"):
                return Facts(problem=pieces)
            if not audio.samples:
                return Facts(problem="it holds no samples.")
            facts = audio.samples, audio.sample_rate, audio.channels
            return Facts(*facts, remark=_remark(audio) if decode else "")
    except AudioError as error:
        return Facts(problem=printable(error.reason))


def _remark(audio: AudioFile) -> str:
    """Decode a file to its end, and say what its first channel is."""
    peak, full = 0.0, 0
    for block in audio.blocks(_SECONDS):
        magnitude = np.abs(block[:, 0])
        peak = max(peak, float(magnitude.max()))
        full += int(np.count_nonzero(magnitude >= _FULL_SCALE))
    if peak < _SILENT_PEAK:
        return "silent"
    return "clipped" if full > _CLIPPED_SHARE * audio.samples else ""
