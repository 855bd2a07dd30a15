"""Write an audio file: whole or not at all, in a format that was checked before."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import soundfile

from speechbrain_mal.audio.reader import RATES, AudioError, AudioFile, native
from speechbrain_mal.files import whole_file

_FORMATS = {"AIF": "AIFF", "AIFC": "AIFF", "WAVE": "WAV", "OGA": "OGG", "OPUS": "OGG"}
_FORMATS |= {"SND": "AU", "SPH": "NIST"}
# Those that keep every sample's place; ADPCM and GSM pad the end to a whole block.
_KEPT = ("PCM", "FLOAT", "DOUBLE", "ULAW", "ALAW", "ALAC", "VORBIS", "OPUS", "MPEG")
_WAVE = ("WAV", "WAVEX", "RF64")  # all of them are named .wav
_UNBOUNDED = ("FLOAT", "DOUBLE")  # whatever else there is has a full scale of 1

# libsndfile crashes when it closes a Vorbis file that it could not open.
_VORBIS_RATES = range(8000, 192001)


@dataclass(frozen=True)
class OutputFormat:
    """How an output file is to be written."""

    sample_rate: int  # Hz
    channels: int
    format: str  # as soundfile names it, like the subtype
    subtype: str
    compression: dict = field(default_factory=dict)  # keeps an MP3's or Opus' bit rate
    tags: dict = field(default_factory=dict)  # title, artist and the like

    @classmethod
    def like(
        cls,
        source: AudioFile,
        path: str | os.PathLike,
        sample_rate: int | None = None,
        subtype: str | None = None,
    ) -> OutputFormat:
        """Return what is nearest to a source in the format that a path's suffix names.

        The source's channels stay, its rate (in Hz) and subtype unless others are
        given; a subtype only where the new format has it and it keeps every sample's
        place. AudioError when there is no such format, subtype or rate, or the format
        can't hold so many channels or this rate; nothing was written then.
        """
        chosen = subtype or _nearest(source, path)
        rate = source.sample_rate if sample_rate is None else sample_rate
        layout = cls.new(path, rate, source.channels, chosen, source.format)
        compression = _compression(source, layout.subtype, rate)
        return replace(layout, compression=compression, tags=source.tags)

    @classmethod
    def new(
        cls,
        path: str | os.PathLike,
        sample_rate: int,
        channels: int,
        subtype: str | None = None,
        source_format: str | None = None,
    ) -> OutputFormat:
        """Return the format that a path's suffix names; errors are those of `like`."""
        kind = format_of(Path(path).suffix)
        if kind is None:
            reason = "no audio format that can be written has the suffix"
            reason = f"{reason} {Path(path).suffix!r}: take .wav or .flac."
            raise AudioError(path, reason)
        if kind == "WAV" and source_format in _WAVE:
            kind = source_format
        subtype = subtype or soundfile.default_subtype(kind)
        if not soundfile.check_format(kind, subtype):
            known = ", ".join(soundfile.available_subtypes(kind))
            raise AudioError(path, f"{kind} has no subtype {subtype!r}, but {known}.")
        if sample_rate not in RATES:
            reason = f"a sample rate of {sample_rate} Hz is not in {RATES[0]} to"
            raise AudioError(path, f"{reason} {RATES[-1]} Hz.")
        if not _holds(sample_rate, channels, kind, subtype):
            reason = f"{kind} of {subtype} can't hold {channels} channel(s) of"
            reason = f"{reason} {sample_rate} Hz: take .wav or .flac."
            raise AudioError(path, reason)
        return cls(sample_rate, channels, kind, subtype)


class Output:
    """An open output file."""

    def __init__(self, sound: soundfile.SoundFile):
        self._sound = sound
        self.samples = 0  # that were written, a channel's
        self.clipped = 0  # of all channels, beyond the format's full scale

    def write(self, block: np.ndarray) -> None:
        """Write the next samples, `[n, channels]`."""
        self._sound.write(block)
        self.samples += len(block)
        if self._sound.subtype not in _UNBOUNDED:
            self.clipped += int(np.count_nonzero(np.abs(block) > 1))


@contextlib.contextmanager
def write_audio(path: str | os.PathLike, layout: OutputFormat) -> Iterator[Output]:
    """Open an audio file for writing; it appears under its name when it is whole.

    OSError when it can't be written; one of that name that was there stays.

    Example
    -------
    >>> path = getfixture("tmp_path") / "a.flac"
    >>> with write_audio(path, OutputFormat(16000, 1, "FLAC", "PCM_16")) as output:
    ...     output.write(np.full((800, 1), 1.5))
    >>> output.clipped, soundfile.info(path).frames
    (800, 800)
    """
    if not Path(path).parent.is_dir():
        raise WriteError(None, f"{path}: its folder does not exist; make it first.")
    with whole_file(path) as partial:
        try:
            with soundfile.SoundFile(
                native(partial),
                "w",
                layout.sample_rate,
                layout.channels,
                layout.subtype,
                format=layout.format,
                **layout.compression,
            ) as sound:
                _set_tags(sound, layout.tags)
                yield (output := Output(sound))
            if soundfile.info(native(partial)).frames < output.samples:
                raise OSError("it is incomplete; is the disk full?")
        except (AssertionError, OSError, soundfile.LibsndfileError) as error:
            # soundfile asserts that it wrote what it was given.
            number, full = getattr(error, "errno", None), "System error."
            said = "is the disk full?" if str(error) == full else error
            raise WriteError(number, f"{path}: can't be written ({said}).") from error


class WriteError(OSError):
    """An output can't be written: no other file's turn would be better."""

    def __str__(self) -> str:
        return str(self.args[1])


def format_of(suffix: str) -> str | None:
    """Return the format that is written for a suffix, as soundfile names it."""
    kind = suffix[1:].upper()
    kind = _FORMATS.get(kind, kind)
    known = soundfile.available_formats().keys() - {"RAW"}  # without a header
    return kind if kind in known else None


def _holds(rate: int, channels: int, kind: str, subtype: str) -> bool:
    """Try in memory whether a format can be opened for this."""
    if subtype == "VORBIS" and rate not in _VORBIS_RATES:
        return False
    try:
        with soundfile.SoundFile(
            io.BytesIO(), "w", rate, channels, subtype, format=kind
        ) as trial:
            trial.write(np.zeros((1, channels), np.float32))
    except (soundfile.LibsndfileError, ValueError, AssertionError):
        return False
    return True


def _nearest(source: AudioFile, path: str | os.PathLike) -> str | None:
    """Return the source's subtype, or the format's own where it can't be."""
    suffix, subtype = Path(path).suffix, source.subtype or ""
    kind = format_of(suffix)
    if kind is None:
        return None
    same = kind == source.format or (kind == "WAV" and source.format in _WAVE)
    lossless = subtype.startswith(("PCM", "FLOAT", "DOUBLE"))
    if same and subtype.startswith(_KEPT):
        return subtype
    if lossless and soundfile.check_format(kind, subtype):
        return subtype
    return "OPUS" if suffix.lower() == ".opus" else None


def _compression(source: AudioFile, subtype: str, rate: int) -> dict:
    """Return what gives an MP3 or Opus file the source's bit rate."""
    if source.subtype != subtype or not source.samples:
        return {}
    kbps = os.path.getsize(source.path) * 8e-3 / source.samples * source.sample_rate
    # libsndfile maps its level, 0 to 1, to these bit rates in kbit/s.
    if subtype == "MPEG_LAYER_III":
        most, least = (320, 32) if rate >= 32000 else (160, 8)
        mode = {"bitrate_mode": "AVERAGE"}  # constant ones tell no length
    elif subtype == "OPUS":
        most, least = 256 * source.channels, 6 * source.channels
        mode = {}
    else:
        return {}
    level = float(np.clip((most - kbps) / (most - least), 0, 1))
    return {**mode, "compression_level": level}


def _set_tags(sound: soundfile.SoundFile, tags: dict[str, str]) -> None:
    for name, value in tags.items():
        with contextlib.suppress(soundfile.LibsndfileError):  # the format has none
            setattr(sound, name, value)
