"""The files that mixtures are made of: their lengths, and pieces out of them."""

from __future__ import annotations

import errno
import math
import os
import stat
from collections.abc import Callable, Mapping
from functools import partial
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from speechbrain_mal.data.manifests import as_bytes, check_rate, read_files
from speechbrain_mal.data.segments import Piece
from speechbrain_mal.files import printable

KINDS = ("clean", "noise", "rir")
# The process' fault, not the file's: no other file could be read instead.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_MARGIN_SECONDS = 0.02  # read on both sides of what is resampled, and cut off again


class UnreadableFileError(OSError):
    """A file that the manifest names is gone, damaged, or another one by now."""

    def __init__(self, file: str, reason: str):
        super().__init__(f"{printable(file)}: {reason}")
        self.file, self.reason = printable(file), reason

    def __reduce__(self) -> tuple:
        return type(self), (self.file, self.reason)


class Sources:
    """Clean speech, noise and room impulse responses of manifests that `prepare` wrote.

    Names and lengths are in arrays: of hundreds of thousands of files, worker processes
    that were forked share one copy.

    Arguments
    ---------
    manifests : mapping of str to path
        A JSON manifest for "clean", "noise" and, unless there is none, "rir".
    data_folder : path
        What the names in them are relative to.
    sample_rate : int
        In Hz; files of a higher rate are resampled as they are read.

    Raises
    ------
    FileNotFoundError
        If a manifest does not exist.
    ValueError
        If a manifest is empty or damaged, or lacks what it should say.

    Example
    -------
    >>> import json
    >>> folder = getfixture("tmp_path")
    >>> soundfile.write(folder / "a.wav", np.full(800, 0.5), 16000)
    >>> entry = {"a.wav": {"samples": 800, "sample_rate": 16000}}
    >>> _ = (folder / "clean.json").write_text(json.dumps(entry))
    >>> sources = Sources({"clean": folder / "clean.json"}, folder, 8000)
    >>> sources.samples("clean").tolist()
    [400]
    >>> sources.read("clean", Piece(0, start=100, samples=50)).shape
    (50,)
    """

    def __init__(
        self,
        manifests: Mapping[str, str | os.PathLike],
        data_folder: str | os.PathLike,
        sample_rate: int,
    ):
        self.data_folder = os.fspath(data_folder)
        self.sample_rate = check_rate(sample_rate)
        self._names: dict[str, np.ndarray] = {}
        self._samples: dict[str, np.ndarray] = {}
        self._rates: dict[str, np.ndarray] = {}
        for kind, manifest in manifests.items():
            entries = read_files(manifest)
            self._names[kind] = np.array([as_bytes(name) for name in entries])
            rates = np.array([entry["sample_rate"] for entry in entries.values()])
            samples = np.array([entry["samples"] for entry in entries.values()])
            self._rates[kind] = rates
            # Rounded down: what is asked for is there.
            self._samples[kind] = samples * sample_rate // rates

    def samples(self, kind: str) -> np.ndarray:
        """Return the length of each file at `sample_rate`, int `[files]`."""
        return self._samples.get(kind, np.zeros(0, np.int64))

    def read(self, kind: str, piece: Piece) -> np.ndarray:
        """Return a piece of a file of "clean" or "noise", or the whole of a "rir".

        Float32 `[samples]` at `sample_rate`; the first of several channels.

        Raises
        ------
        UnreadableFileError
            If the file is gone, damaged, or shorter than its manifest says.
        """
        name = self._names[kind][piece.file].decode("utf-8", "surrogateescape")
        rate = int(self._rates[kind][piece.file])
        start, samples = piece.start, piece.samples
        if kind == "rir":
            start, samples = 0, int(self._samples[kind][piece.file])
        opener = partial(open_regular, os.path.join(self.data_folder, name))
        return read_piece(opener, name, (start, samples), rate, self.sample_rate)


def open_regular(path: str) -> BinaryIO:
    """Open a file for reading; a pipe would wait for its writer, and is an OSError."""
    file = open(path, "rb", opener=_without_waiting)
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "not a regular file", path)


def read_piece(
    opener: Callable[[], BinaryIO],
    name: str,
    span: tuple[int, int],
    rate: int,
    new_rate: int,
) -> np.ndarray:
    """Return a stretch of an audio file at another rate (Hz) than its own, or the same.

    `opener` returns the file, which errors call `name`; `span` is the first sample and
    the number of samples, at the new rate.
    """
    start, samples = span
    first, last, skip = start, start + samples, 0
    if rate != new_rate:
        margin = round(_MARGIN_SECONDS * rate)
        # The first sample that is read has to be one of the wanted rate, too.
        step = rate // math.gcd(rate, new_rate)
        first = max(0, start * rate // new_rate - margin) // step * step
        last = (start + samples) * rate // new_rate + margin
        skip = start - first * new_rate // rate
    try:
        with opener() as file, soundfile.SoundFile(file) as audio:
            if audio.samplerate != rate:
                raise OSError(f"it has {audio.samplerate} Hz and had {rate} Hz before")
            audio.seek(first)
            signal = audio.read(last - first, dtype="float32", always_2d=True)[:, 0]
    except (soundfile.LibsndfileError, OSError) as error:
        if getattr(error, "errno", None) in _EXHAUSTED:
            raise
        raise UnreadableFileError(name, str(error)) from error
    if rate != new_rate:
        signal = soxr.resample(signal, rate, new_rate)[skip : skip + samples]
        # The resampler rounds the end of a file by less than a sample.
        signal = np.pad(signal, (0, int(len(signal) == samples - 1)))
    if len(signal) < samples:
        raise UnreadableFileError(name, "it is shorter than it was")
    if not np.isfinite(signal).all():
        raise UnreadableFileError(name, "it has NaN or infinite samples")
    return np.ascontiguousarray(signal)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
