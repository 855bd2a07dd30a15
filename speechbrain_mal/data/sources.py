"""The files that mixtures are made of: their lengths, and pieces out of them."""

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

from speechbrain_mal.data.manifests import as_bytes, check_rate, read_manifest
from speechbrain_mal.data.plan import Piece
from speechbrain_mal.files import printable

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
    """Clean speech, noise and room impulse responses of manifests, at one rate (Hz).

    Names and lengths are in arrays: of hundreds of thousands of files, worker processes
    that were forked share one copy.
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
            entries = read_manifest(manifest, ("samples", "sample_rate"))
            self._names[kind] = np.array([as_bytes(name) for name in entries])
            rates = np.array([entry["sample_rate"] for entry in entries.values()])
            samples = np.array([entry["samples"] for entry in entries.values()])
            self._rates[kind] = rates
            # Rounded down: what is asked for is there.
            self._samples[kind] = samples * sample_rate // rates

    def samples(self, kind: str) -> np.ndarray:
        """Return the length of each file at the common rate, int `[files]`."""
        return self._samples.get(kind, np.zeros(0, np.int64))

    def read(self, kind: str, piece: Piece) -> np.ndarray:
        """Return a piece of "clean" or "noise", or a whole "rir", float32 `[samples]`.

        Errors are those of `read_piece`.
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


def read_samples(
    opener: Callable[[], BinaryIO], name: str, start: int, samples: int
) -> tuple[np.ndarray, int]:
    """Return what there is of a stretch, float32 `[n, channels]`, and the file's rate.

    `opener` returns the file, which errors call `name`.
    """
    try:
        with opener() as file, soundfile.SoundFile(file) as audio:
            audio.seek(start)
            signal = audio.read(samples, dtype="float32", always_2d=True)
            return signal, audio.samplerate
    except (soundfile.LibsndfileError, OSError) as error:
        if getattr(error, "errno", None) in _EXHAUSTED:
            raise
        raise UnreadableFileError(name, str(error)) from error


def read_piece(
    opener: Callable[[], BinaryIO],
    name: str,
    span: tuple[int, int],
    rate: int,
    new_rate: int,
) -> np.ndarray:
    """Return a stretch of a file's first channel, float32, at another rate or its own.

    `span` is the first sample and the number of samples, at the new rate (Hz). A file
    that is gone, damaged, or not as its manifest says is an `UnreadableFileError`.
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
    signal, found_rate = read_samples(opener, name, first, last - first)
    signal = signal[:, 0]
    if found_rate != rate:
        fault = f"it has {found_rate} Hz and had {rate} Hz before"
        raise UnreadableFileError(name, fault)
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
