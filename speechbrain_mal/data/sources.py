"""The files that mixtures are made of: their lengths, and pieces out of them."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import soundfile
import soxr

from speechbrain_mal.data.segments import Piece

KINDS = ("clean", "noise", "rir")
# The process' fault, not the file's: no other file could be read instead.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_MARGIN_SECONDS = 0.02  # read on both sides of what is resampled, and cut off again


class UnreadableFileError(OSError):
    """A file that the manifest names is gone, damaged, or another one by now."""

    def __init__(self, file: str, reason: str):
        super().__init__(f"{file}: {reason}")
        self.file, self.reason = file, reason


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
        If a manifest is empty or lacks what it should say.

    Example
    -------
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
        self.sample_rate = sample_rate
        self._names: dict[str, np.ndarray] = {}
        self._samples: dict[str, np.ndarray] = {}
        self._rates: dict[str, np.ndarray] = {}
        for kind, manifest in manifests.items():
            entries = _entries(Path(manifest))
            self._names[kind] = np.array([name.encode() for name in entries])
            rates = np.array([entry["sample_rate"] for entry in entries.values()])
            samples = np.array([entry["samples"] for entry in entries.values()])
            self._rates[kind] = rates
            # Rounded down: what is asked for is there.
            self._samples[kind] = samples * sample_rate // rates

    def samples(self, kind: str) -> np.ndarray:
        """Return the length of each file at `sample_rate`, int `[files]`."""
        return self._samples.get(kind, np.zeros(0, np.int64))

    def name(self, kind: str, file: int) -> str:
        """Return a file's name, relative to `data_folder`."""
        return self._names[kind][file].decode()

    def read(self, kind: str, piece: Piece) -> np.ndarray:
        """Return a piece of a file, or the whole of a room impulse response.

        Arguments
        ---------
        kind : str
            "clean", "noise" or "rir".
        piece : Piece
            File, start and length, at `sample_rate`.

        Returns
        -------
        array, `[samples]`
            Float32; the first of several channels.

        Raises
        ------
        UnreadableFileError
            If the file is gone, damaged, or shorter than its manifest says.
        """
        name = self.name(kind, piece.file)
        rate = int(self._rates[kind][piece.file])
        start, samples = piece.start, piece.samples
        if kind == "rir":
            start, samples = 0, int(self._samples[kind][piece.file])
        return read_piece(
            lambda: open(os.path.join(self.data_folder, name), "rb"),
            name,
            (start, samples),
            rate,
            self.sample_rate,
        )


def read_piece(
    open_file: Callable,
    name: str,
    span: tuple[int, int],
    rate: int,
    new_rate: int,
) -> np.ndarray:
    """Return a stretch of an audio file at another rate than its own, or the same.

    Arguments
    ---------
    open_file : callable
        Returns the file, opened for binary reading.
    name : str
        What errors call it.
    span : tuple of int
        First sample and number of samples, at `new_rate`.
    rate, new_rate : int
        The file's rate and the wanted one, in Hz.

    Raises
    ------
    UnreadableFileError
        If it can't be read, has another rate, or ends too early.
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
        with open_file() as file, soundfile.SoundFile(file) as audio:
            if audio.samplerate != rate:
                raise UnreadableFileError(
                    name, f"it has {audio.samplerate} Hz and had {rate} Hz before"
                )
            audio.seek(first)
            signal = audio.read(last - first, dtype="float32", always_2d=True)[:, 0]
    except UnreadableFileError:
        raise
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


def _entries(manifest: Path) -> dict[str, dict]:
    if not manifest.is_file():
        raise FileNotFoundError(f"{manifest} does not exist: prepare the data first")
    entries = json.loads(manifest.read_text(encoding="utf-8"))
    if not entries:
        raise ValueError(f"{manifest} names no file")
    for name, entry in entries.items():
        if not {"samples", "sample_rate"} <= entry.keys():
            raise ValueError(f"{manifest}: {name} has no samples or no sample_rate")
    return entries
