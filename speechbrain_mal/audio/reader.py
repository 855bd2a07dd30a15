"""Read an audio file from start to end, and find what is wrong with it on the way."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from speechbrain_mal.audio import ffmpeg
from speechbrain_mal.files import printable

RATES = range(1000, 768001)  # Hz
_MAX_PEAK = 100.0  # louder ones are integers that somebody stored as floats
_UNKNOWN = 2**62  # from here on, libsndfile's number of samples means that none is told
# What libsndfile notes about a file that ends too early, of the chunk with the audio.
_CUT = re.compile(
    r"^ *(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)"
    r"|(truncated file)",
    re.M,
)
# Sizes from here on are placeholders of writers that could not seek back (FFmpeg leaves
# 0xFFFFFFFF, SoX a value near 0x7FFFFFFF), not promises.
_PLACEHOLDERS = range(0x7FFFF000, 0x1_0000_0000)
_HEADER_BYTES = 4096  # more than a header without tags has
# The process' fault, not the file's: no other file could be read instead.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class AudioError(ValueError):
    """Something is wrong with one audio file; the message names it."""

    def __init__(self, path: str | os.PathLike, reason: str):
        super().__init__(f"{printable(path)}: {reason}")
        self.path, self.reason = path, reason

    def __reduce__(self) -> tuple:
        return type(self), (self.path, self.reason)


class AudioFile(contextlib.ExitStack):
    """An open audio file; what libsndfile can't read is decoded by ffmpeg first.

    AudioError when it is missing, not audio, no regular file (a pipe would wait for its
    writer), or its header is wrong.

    Attributes
    ----------
    sample_rate, channels : int
        Its rate in Hz and number of channels.
    samples : int or None
        A channel's, as the header tells; None where it tells none.
    format, subtype : str or None
        As soundfile names them; None where ffmpeg decodes.
    tags : dict of str to str
        Title, artist and the like.

    Example
    -------
    >>> path = getfixture("tmp_path") / "a.wav"
    >>> soundfile.write(path, np.full(20000, 0.5), 16000)
    >>> with AudioFile(path) as audio:
    ...     [len(block) for block in audio.blocks(seconds=1)]
    [16000, 4000]
    """

    def __init__(self, path: str | os.PathLike):
        super().__init__()
        self.path = Path(path)
        try:
            self._check_bytes()
            self._sound = self.enter_context(self._open())
            self._check_header()
        except BaseException as error:
            self.close()
            if not isinstance(error, OSError) or error.errno in _EXHAUSTED:
                raise
            reason = error.strerror or str(error)
            raise AudioError(path, f"it can't be read ({reason}).") from error

    def blocks(self, seconds: float = 2.0) -> Iterator[np.ndarray]:
        """Yield all of the file, float32 `[n, channels]` in about [-1, 1].

        AudioError when it is cut off or damaged, holds no samples, NaN or infinite
        ones, or some beyond 100: samples of 16 bits that were stored as floats.
        """
        size, read = max(1, round(seconds * self.sample_rate)), 0
        while len(block := self._read(size, read)):
            self._check_samples(block, read)
            read += len(block)
            yield block
        if self.samples is not None and read < self.samples:
            raise self._fault(
                f"cut off: it ends after {read} of the {self.samples} samples that its "
                "header promises. Download or copy it again."
            )
        if not read:
            raise self._fault("it holds no samples.")

    def _fault(self, reason: str) -> AudioError:
        return AudioError(self.path, reason)

    def _check_bytes(self) -> None:
        if not self.path.exists():
            link = "a link that leads nowhere" if self.path.is_symlink() else ""
            raise self._fault(f"{link or 'there is no such file'}.")
        status = os.stat(self.path)
        if not stat.S_ISREG(status.st_mode):
            raise self._fault("not a regular file.")
        if not status.st_size:
            raise self._fault("empty (0 bytes): download or copy it again.")

    def _open(self) -> soundfile.SoundFile:
        try:
            if _is_mp3_without_length(self.path):
                file = self.enter_context(open(self.path, "rb"))
                sound, self.samples = soundfile.SoundFile(_LongFile(file)), None
            else:
                sound = soundfile.SoundFile(native(self.path))
                self.samples = sound.frames
        except soundfile.LibsndfileError as error:
            return self._decoded(str(error.error_string).strip(" .:"))
        if (self.samples or 0) >= _UNKNOWN:  # a FLAC of a pipe
            sound.close()
            return self._decoded("its header tells no length")
        self.tags = sound.copy_metadata()
        self.format, self.subtype = sound.format, sound.subtype
        return sound

    def _decoded(self, reason: str) -> soundfile.SoundFile:
        """Return the file as ffmpeg decodes it."""
        if ffmpeg.find_ffmpeg() is None:
            advice = "If it is sound, install ffmpeg or 'speechbrain-mal[formats]'."
            raise self._fault(f"not a readable audio file ({reason}). {advice}")
        folder = tempfile.TemporaryDirectory(prefix="speechbrain-mal-")
        output = Path(self.enter_context(folder), "decoded.w64")
        try:
            ffmpeg.decode(self.path, output)
        except ValueError as error:
            said = f"not a readable audio file ({reason}; {error})."
            raise self._fault(said) from None
        sound = soundfile.SoundFile(native(output))
        self.samples, self.tags = sound.frames, {}
        self.format = self.subtype = None
        return sound

    def _check_header(self) -> None:
        self.sample_rate, self.channels = self._sound.samplerate, self._sound.channels
        if self.sample_rate not in RATES:
            raise self._fault(f"{self.sample_rate} Hz is no sampling rate of speech.")
        if "Ambiguous information" in self._sound.extra_info:
            reason = "its header contradicts itself (24 bits in 4 bytes, as a rule)"
            raise self._fault(f"{reason}: write it anew as a plain WAV.")
        for promised, there, noted in _CUT.findall(self._sound.extra_info):
            honest = promised and int(promised) not in _PLACEHOLDERS
            if noted or (honest and int(there) < int(promised)):
                reason = "cut off: it ends before its header's promise."
                raise self._fault(f"{reason} Download or copy it again.")
        size = os.path.getsize(self.path)
        if self.samples == 0 and size > _HEADER_BYTES:
            raise self._fault(
                f"its header tells of no samples, but it has {size} bytes: its writer "
                "was stopped. Repair it, as with 'sox --ignore-length'."
            )

    def _read(self, size: int, read: int) -> np.ndarray:
        try:
            return self._sound.read(size, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            seconds = read / self.sample_rate
            said = f"damaged after {seconds:.3f} s ({str(error).strip(' .:')})."
            raise self._fault(said) from error

    def _check_samples(self, block: np.ndarray, read: int) -> None:
        peak = np.abs(block).max(axis=1)
        if not np.isfinite(peak).all():
            seconds = (read + np.argmin(np.isfinite(peak))) / self.sample_rate
            raise self._fault(f"NaN or infinite samples, at {seconds:.3f} s first.")
        if peak.max() > _MAX_PEAK:
            reason = f"samples of {peak.max():.0f}, where full scale is 1: divide them"
            raise self._fault(f"{reason} by 32768 if they had 16 bits.")


def read_audio(path: str | os.PathLike) -> tuple[np.ndarray, int]:
    """Return all of a file, float32 `[samples, channels]`, and its rate in Hz.

    Errors are those of `AudioFile` and its `blocks`.
    """
    with AudioFile(path) as audio:
        return np.concatenate(list(audio.blocks())), audio.sample_rate


def header_seconds(path: str | os.PathLike) -> float:
    """Return a file's duration in seconds as its header tells it; 0 if none does."""
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)
        info = soundfile.info(native(path)) if regular else None
    except (soundfile.LibsndfileError, OSError):
        return 0.0
    return info.duration if info and info.frames < _UNKNOWN else 0.0


def native(path: str | os.PathLike) -> bytes | str:
    """Return a path as soundfile takes it: a name need not be UTF-8."""
    return os.fsencode(path) if os.name == "posix" else os.fspath(path)


def _is_mp3_without_length(path: Path) -> bool:
    """Tell whether a file is an MP3 whose first frame does not say how many follow."""
    with open(path, "rb") as file:
        start = file.read(10)
        if start[:3] == b"ID3":  # its size has 7 bits a byte
            size = sum(byte << 7 * i for i, byte in enumerate(start[:5:-1]))
            file.seek(10 + size)
        else:
            file.seek(0)
        frame = file.read(200)
    is_mp3 = frame[:1] == b"\xff" and frame[1:2] >= b"\xe0" and frame[1] >> 1 & 3 == 1
    return is_mp3 and not any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))


class _LongFile:
    """A file that claims to be longer than it is.

    Of an MP3 without a length, libsndfile estimates one from the file's size, and reads
    no further; so of this one it reads what there is.
    """

    def __init__(self, file: BinaryIO):
        self._file, self._at_end = file, False
        self.read, self.readinto = file.read, file.readinto

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> None:
        self._at_end = whence == os.SEEK_END
        self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell() * (1000 if self._at_end else 1)

    def write(self, _: bytes) -> None:
        raise OSError("it is read")
