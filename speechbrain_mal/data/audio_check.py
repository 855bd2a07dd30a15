"""Find every unusable noisy/clean pair before training starts, not in hour three.

Headers cannot be trusted: libsndfile shortens a truncated WAV without a word, and a
damaged FLAC fails only where its damage is. So every file is decoded once, in full.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

_BLOCK = 2**20  # frames decoded at a time: an hour-long file needs no more memory
FLAC_UNKNOWN_LENGTH = 2**63 - 1  # frames soundfile reports for a streamed FLAC
# WAV data sizes from here on are placeholders of writers that could not seek back
# (FFmpeg leaves 0xFFFFFFFF, SoX a value near 0x7FFFFFFF), not promises.
_WAV_UNKNOWN_SIZE = 0x7FFFF000


def check_pairs(
    pairs: Mapping[str, tuple[Path, Path]], sample_rate: int, max_problems: int = 10
) -> dict[str, int]:
    """Decode all pairs and return their lengths, or name those that are unusable.

    The files are read in threads, with a progress bar. A usable pair is two mono files
    of finite samples at `sample_rate`, complete, of the same non-zero length.

    Arguments
    ---------
    pairs : mapping of str to (Path, Path)
        The noisy and the clean file of each clip, by clip id.
    sample_rate : int
        The rate that every file must have, in Hz.
    max_problems : int
        Reading stops after so many bad clips: a folder that is wrong as a whole is
        reported in seconds.

    Returns
    -------
    dict of str to int
        The length of each clip in samples.

    Raises
    ------
    ValueError
        If a pair is unusable. One error lists up to `max_problems` clips, each with
        its file, what is wrong with it and what to do.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> noisy, clean = folder / "noisy.wav", folder / "clean.wav"
    >>> soundfile.write(noisy, np.zeros(800), 16000)
    >>> soundfile.write(clean, np.zeros(800), 16000)
    >>> check_pairs({"p225_001": (noisy, clean)}, sample_rate=16000)
    {'p225_001': 800}
    """
    samples: dict[str, int] = {}
    problems: list[str] = []
    # soundfile releases the GIL while it decodes, so threads are enough.
    pool = ThreadPoolExecutor()
    try:
        results = pool.map(lambda pair: _check_pair(*pair, sample_rate), pairs.values())
        with tqdm(total=len(pairs), desc="Checking audio", unit="clip") as progress:
            for clip_id, (length, found) in zip(pairs, results, strict=True):
                progress.update()
                samples[clip_id] = length
                if found:
                    problems.append(f"{clip_id}: " + "; ".join(found))
                if len(problems) == max_problems:
                    break
    finally:
        pool.shutdown(cancel_futures=True)
    if problems:
        raise ValueError(
            f"{len(problems)} unusable clip(s) among the {len(samples)} of {len(pairs)}"
            " that were checked:\n  " + "\n  ".join(problems)
        )
    return samples


def _check_pair(noisy: Path, clean: Path, sample_rate: int) -> tuple[int, list[str]]:
    """Return the pair's length in samples and what is wrong with it."""
    lengths, problems = [], []
    for path in (noisy, clean):
        try:
            lengths.append(_count_samples(path, sample_rate))
        except ValueError as error:
            problems.append(str(error))
    if len(set(lengths)) == 2:
        problems.append(
            f"{noisy} has {lengths[0]} samples but {clean} has {lengths[1]}: cut both"
            " to the same, aligned length, or remove both"
        )
    return max(lengths, default=0), problems


def _count_samples(path: Path, sample_rate: int) -> int:
    """Decode one file in full; raise ValueError if it cannot be trained on."""
    try:
        if os.path.getsize(path) == 0:
            raise ValueError(f"{path} is empty (0 bytes): download or copy it again")
        with soundfile.SoundFile(path) as audio:
            _check_header(audio, path, sample_rate)
            length, finite = 0, True
            while len(block := audio.read(_BLOCK, dtype="float32")):
                length += len(block)
                finite = finite and bool(np.isfinite(block).all())
            promised = audio.frames
    except (soundfile.LibsndfileError, OSError) as error:
        reason = str(error).rstrip(": .") or "unknown reason"
        raise ValueError(
            f"{path} cannot be read to its end ({reason}): it may be truncated or"
            " damaged, so download or copy it again"
        ) from error
    if length < promised:
        raise ValueError(
            f"{path} is truncated (its header promises {promised} samples, it has"
            f" {length}): download or copy it again"
        )
    if not finite:
        raise ValueError(
            f"{path} has NaN or infinite samples: export it again, or remove the pair"
        )
    return length


def _check_header(audio: soundfile.SoundFile, path: Path, sample_rate: int) -> None:
    """Raise ValueError for what can be told without decoding."""
    if audio.samplerate != sample_rate:
        raise ValueError(
            f"{path} has a sample rate of {audio.samplerate} Hz, not {sample_rate} Hz:"
            " resample it, or set sample_rate to the rate of the corpus"
        )
    if audio.channels != 1:
        raise ValueError(
            f"{path} has {audio.channels} channels: keep one of them (a mono file)"
        )
    if missing := missing_wav_bytes(path):
        raise ValueError(
            f"{path} is truncated ({missing} bytes fewer than its header promises):"
            " download or copy it again"
        )
    if audio.frames == 0:
        raise ValueError(f"{path} is empty (0 samples): remove the pair")
    if audio.frames == FLAC_UNKNOWN_LENGTH:
        raise ValueError(
            f"{path} does not state its length (a streamed FLAC), and cannot be read"
            " in part: write it again with a FLAC encoder that can seek"
        )


def missing_wav_bytes(path: Path) -> int:
    """Return how many bytes of its data chunk a RIFF file lacks (else 0)."""
    with open(path, "rb") as file:
        if file.read(4) != b"RIFF":
            return 0
        file.seek(12)
        while len(header := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", header)
            if name == b"data":
                if size >= _WAV_UNKNOWN_SIZE:
                    return 0
                return max(0, size - (os.path.getsize(path) - file.tell()))
            file.seek(size + size % 2, os.SEEK_CUR)  # chunks are padded to even sizes
    return 0
