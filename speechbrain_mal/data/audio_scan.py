"""Look at every file of a corpus once, in threads, and remember what was seen."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from speechbrain_mal.data.audio_check import FLAC_UNKNOWN_LENGTH, missing_wav_bytes

_BLOCK = 2**20  # frames decoded at a time
_SILENT_PEAK = 1e-3  # -60 dB of full scale
_FULL_SCALE = 0.999
_CLIPPED_SHARE = 1e-3  # of the samples at full scale; loud speech has single ones


@dataclass(frozen=True)
class AudioFacts:
    """What was seen of a file.

    Attributes
    ----------
    samples, sample_rate, channels : int
        Length in samples a channel, rate in Hz; 0 if it can't be read.
    problem : str
        What is wrong with it; empty if nothing is.
    """

    samples: int = 0
    sample_rate: int = 0
    channels: int = 0
    problem: str = ""


def scan_audio(
    folder: Path, names: Iterable[str], progress_file: Path, decode: bool = True
) -> dict[str, AudioFacts]:
    """Return what is to be known of files; those seen before are not read again.

    Arguments
    ---------
    folder : Path
        What the names are relative to.
    names : iterable of str
        The files.
    progress_file : Path
        JSON lines that are added to as files are seen. A scan that was stopped goes on;
        a file whose size or time has changed is read again.
    decode : bool
        Whether to decode the files, which is what finds damaged, silent and clipped
        ones; otherwise headers are read.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> soundfile.write(folder / "quiet.wav", np.zeros(800), 16000)
    >>> scan_audio(folder, ["quiet.wav"], folder / "scan.jsonl")["quiet.wav"].problem
    'silent'
    """
    names = list(names)
    progress_file.parent.mkdir(parents=True, exist_ok=True)
    known = _read_progress(progress_file, decode)
    facts: dict[str, AudioFacts] = {}
    waiting = []
    for name in names:
        record = known.get(name)
        stamp = _stamp(folder / name)
        if record and record["stamp"] == stamp and stamp:
            facts[name] = AudioFacts(**record["facts"])
        else:
            waiting.append((name, stamp))
    if waiting:
        # soundfile releases the GIL while it decodes, so threads are enough.
        pool = ThreadPoolExecutor()
        look = _decoded if decode else _from_header
        try:
            results = pool.map(lambda task: look(folder / task[0]), waiting)
            with (
                open(progress_file, "a", encoding="utf-8") as file,
                tqdm(
                    total=len(names),
                    initial=len(facts),
                    desc=f"Scanning {folder.name}",
                    unit="file",
                ) as bar,
            ):
                for (name, stamp), seen in zip(waiting, results, strict=True):
                    facts[name] = seen
                    record = {"name": name, "stamp": stamp, "decoded": decode}
                    file.write(json.dumps({**record, "facts": asdict(seen)}) + "\n")
                    bar.update()
        finally:
            pool.shutdown(cancel_futures=True)
    return {name: facts[name] for name in names}


def _read_progress(path: Path, decode: bool) -> dict[str, dict]:
    records: dict[str, dict] = {}
    if path.exists():
        content = path.read_text(encoding="utf-8")
        for line in content.splitlines():
            with contextlib.suppress(ValueError, KeyError):  # cut off by a kill
                record = json.loads(line)
                if record["decoded"] or not decode:
                    records[record["name"]] = record
        if content and not content.endswith("\n"):
            with open(path, "a", encoding="utf-8") as file:
                file.write("\n")
    return records


def _stamp(path: Path) -> list[int]:
    try:
        stat = os.stat(path)
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns]


def _from_header(path: Path) -> AudioFacts:
    try:
        if os.path.getsize(path) == 0:
            return AudioFacts(problem="empty (0 bytes)")
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, OSError) as error:
        return AudioFacts(problem=f"unreadable ({error})")
    facts = info.frames, info.samplerate, info.channels
    if info.frames == FLAC_UNKNOWN_LENGTH:
        return AudioFacts(0, *facts[1:], problem="a FLAC that does not tell its length")
    if info.frames == 0:
        return AudioFacts(*facts, problem="empty (0 samples)")
    if missing_wav_bytes(path):
        return AudioFacts(*facts, problem="truncated")
    return AudioFacts(*facts)


def _decoded(path: Path) -> AudioFacts:
    """Return what is seen of the first channel, the one that is used."""
    facts = _from_header(path)
    if facts.problem:
        return facts
    length, peak, full, finite = 0, 0.0, 0, True
    try:
        with soundfile.SoundFile(path) as audio:
            while len(block := audio.read(_BLOCK, dtype="float32", always_2d=True)):
                magnitude = np.abs(block[:, 0])
                length += len(block)
                finite = finite and bool(np.isfinite(magnitude).all())
                peak = max(peak, float(magnitude.max()))
                full += int(np.count_nonzero(magnitude >= _FULL_SCALE))
    except soundfile.LibsndfileError as error:
        return AudioFacts(problem=f"unreadable ({error})")
    problem = ""
    if length < facts.samples:
        problem = "truncated"
    elif not finite:
        problem = "NaN or infinite samples"
    elif peak < _SILENT_PEAK:
        problem = "silent"
    elif full > _CLIPPED_SHARE * length:
        problem = "clipped"
    return AudioFacts(facts.samples, facts.sample_rate, facts.channels, problem)
