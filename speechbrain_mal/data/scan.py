"""One look at every audio file of a corpus: its length, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path

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

SCAN = "scan.jsonl"  # beside the manifests
_SECONDS = 20.0  # decoded at a time
_SILENT_PEAK = 1e-3  # -60 dB of full scale
_FULL_SCALE = 0.999
_CLIPPED_SHARE = 1e-3  # of the samples at full scale; loud speech has single ones
_NO_PIECES = "exact pieces of it can't be read: convert it to .wav or .flac."


@dataclass(frozen=True)
class Facts:
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


def scan(
    folder: Path, names: Sequence[str], seen: SeenFiles, decode: bool = True
) -> Iterator[tuple[str, Facts]]:
    """Yield the facts of files in a folder; those seen before are not read again.

    Files are read in threads, with a progress bar. Close the iterator to stop them.
    Only decoding them finds damaged, silent and clipped ones; otherwise headers are
    read.

    Example
    -------
    >>> import soundfile
    >>> folder = getfixture("tmp_path")
    >>> soundfile.write(folder / "quiet.wav", np.zeros(800), 16000)
    >>> [(name, facts)] = scan(folder, ["quiet.wav"], SeenFiles(folder / SCAN))
    >>> facts
    Facts(samples=800, sample_rate=16000, channels=1, problem='', remark='silent')
    """

    def look(name: str) -> tuple[list[int], Facts, bool]:
        stamp = stamp_of(folder / name)
        match seen.get(name, stamp):
            case [bool(was), int(), int(), int(), str(), str()] as known if (
                was or not decode
            ):
                return stamp, Facts(*known[1:]), True
        return stamp, _look(folder / name, decode), False

    # soundfile releases the GIL while it decodes, so threads are enough.
    pool = ThreadPoolExecutor()
    try:
        results = tqdm(
            pool.map(look, names), "Checking audio", total=len(names), unit="file"
        )
        for name, (stamp, facts, is_known) in zip(names, results, strict=True):
            if not is_known:
                seen.add(name, stamp, [decode, *astuple(facts)])
            yield name, facts
    finally:
        pool.shutdown(cancel_futures=True)


def _look(path: Path, decode: bool) -> Facts:
    if path.suffix.lower() in FFMPEG_SUFFIXES:
        return Facts(problem=_NO_PIECES)
    try:
        with AudioFile(path) as audio:
            subtype = audio.subtype or "decoded by ffmpeg"
            if audio.samples is None or subtype.startswith(("MPEG", "decoded")):
                return Facts(problem=_NO_PIECES)
            if not audio.samples:
                return Facts(problem="it holds no samples.")
            remark = _remark(audio) if decode else ""
            facts = audio.samples, audio.sample_rate, audio.channels
            return Facts(*facts, remark=remark)
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
