"""Write an audio file: whole or not at all, in a format that was checked before."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from speechbrain_mal.audio.reader import AudioError, AudioFile, native
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


def output_format(
    path: str | os.PathLike,
    sample_rate: int,
    channels: int,
    subtype: str | None = None,
    source: AudioFile | None = None,
) -> OutputFormat:
    """Return the format that a path's suffix names, as near to a source as it can be.

    A source's subtype stays where the new format has it and it keeps every sample's
    place; its bit rate and tags, where the format has them. AudioError when there is no
    such format or subtype, or it can't hold so many channels or this rate (in Hz);
    nothing was written then.
    """
    kind = format_of(suffix := Path(path).suffix)
    if kind is None:
        reason = f"no audio format that can be written has the suffix {suffix!r}"
        raise AudioError(path, f"{reason}: take .wav or .flac.")
    if kind == "WAV" and source and source.format in _WAVE:
        kind = source.format
    subtype = subtype or _nearest(source, kind, suffix)
    if not soundfile.check_format(kind, subtype):
        known = ", ".join(soundfile.available_subtypes(kind))
        raise AudioError(path, f"{kind} has no subtype {subtype!r}, but {known}.")
    if not _holds(sample_rate, channels, kind, subtype):
        reason = f"{kind} of {subtype} can't hold {channels} channel(s) of"
        raise AudioError(path, f"{reason} {sample_rate} Hz: take .wav or .flac.")
    kept = (_compression(source, subtype, sample_rate), source.tags) if source else ()
    return OutputFormat(sample_rate, channels, kind, subtype, *kept)


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
    kind = layout.sample_rate, layout.channels, layout.subtype, None, layout.format
    with whole_file(path) as partial:
        try:
            with soundfile.SoundFile(
                native(partial), "w", *kind, **layout.compression
            ) as sound:
                for name, value in layout.tags.items():
                    with contextlib.suppress(soundfile.LibsndfileError):  # it has none
                        setattr(sound, name, value)
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


def _nearest(source: AudioFile | None, kind: str, suffix: str) -> str:
    """Return the source's subtype, or the format's own where it can't be."""
    subtype = (source and source.subtype) or ""
    lossless = subtype.startswith(("PCM", "FLOAT", "DOUBLE"))
    if subtype.startswith(_KEPT) and kind == source.format:
        return subtype
    if lossless and soundfile.check_format(kind, subtype):
        return subtype
    return "OPUS" if suffix.lower() == ".opus" else soundfile.default_subtype(kind)


def _compression(source: AudioFile, subtype: str, rate: int) -> dict:
    """Return what gives an MP3 or Opus file the source's bit rate."""
    limits = {  # libsndfile maps its level, 0 to 1, to these bit rates in kbit/s
        "MPEG_LAYER_III": (320, 32) if rate >= 32000 else (160, 8),
        "OPUS": (256 * source.channels, 6 * source.channels),
    }
    if source.subtype != subtype or subtype not in limits or not source.samples:
        return {}
    kbps = os.path.getsize(source.path) * 8e-3 / source.samples * source.sample_rate
    most, least = limits[subtype]
    level = {"compression_level": float(np.clip((most - kbps) / (most - least), 0, 1))}
    # Constant bit rates tell no length.
    return level if subtype == "OPUS" else {**level, "bitrate_mode": "AVERAGE"}
