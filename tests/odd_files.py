"""A folder of the odd audio files that people have, and what is right for each."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from speechbrain_mal.audio.ffmpeg import find_ffmpeg
from speechbrain_mal.audio.writer import format_of

RATE, SECONDS = 16000, 0.5
LATIN_1 = os.fsdecode(b"caf\xe9.wav")


@dataclass(frozen=True)
class Odd:
    """One file: how it is made, and what is to come of it.

    Attributes
    ----------
    make : callable
        Writes it to a path.
    failure : str
        A pattern of what is said of it; empty if it is to be enhanced.
    note : str
        A pattern of what is said besides.
    samples : int, optional
        How many it has, where it isn't `SECONDS` at its own rate.
    padded : bool
        Whether its codec only knows whole blocks.
    """

    make: Callable[[Path], object]
    failure: str = ""
    note: str = ""
    samples: int | None = None
    padded: bool = False


def signal(rate: int = RATE, channels: int = 1) -> np.ndarray:
    """Return what every good file sounds like, `[samples, channels]`."""
    time = np.arange(round(SECONDS * 48000)) / 48000
    tones = sum(np.sin(2 * np.pi * f * time) / f for f in (180, 440, 1300, 2900))
    swell = 60 * np.sin(np.pi * time / SECONDS) ** 2  # ends are silent, and no steps
    resampled = soxr.resample(swell * tones, 48000, rate)
    return np.repeat(0.9 * resampled[:, None], channels, axis=1)


def audio(
    subtype: str | None = None,
    kind: str | None = None,
    rate: int = RATE,
    channels: int = 1,
    change: Callable[[np.ndarray], np.ndarray] = lambda samples: samples,
) -> Callable[[Path], None]:
    """Return what writes the signal with libsndfile."""

    def make(path: Path) -> None:
        samples = change(signal(rate, channels))
        name = os.fsencode(path)
        chosen = kind or format_of(path.suffix)
        soundfile.write(name, samples, rate, subtype=subtype, format=chosen)

    return make


def changed(change: Callable[[bytes], bytes], **options: str) -> Callable:
    """Return what writes a file and changes its bytes."""

    def make(path: Path) -> None:
        audio(**options)(path)
        path.write_bytes(change(path.read_bytes()))

    return make


def by_ffmpeg(*options: str) -> Callable[[Path], None]:
    """Return what writes the signal with ffmpeg."""

    def make(path: Path) -> None:
        source = path.with_name(".source.wav")
        audio("FLOAT", "WAV")(source)
        command = [find_ffmpeg(), "-v", "error", "-y", "-i", source, *options, path]
        subprocess.run(command, check=True)
        source.unlink()

    return make


def cut_off(**options: str) -> Callable[[Path], None]:
    return changed(lambda data: data[: len(data) // 2], **options)


def content(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def wav_sizes(size: int) -> Callable[[bytes], bytes]:
    """Return what puts a size into both of a plain WAV's headers."""

    def change(data: bytes) -> bytes:
        at = data.index(b"data") + 4
        packed = struct.pack("<I", size)
        return data[:4] + packed + data[8:at] + packed + data[at + 4 :]

    return change


def header_field(place: int, size: str, value: int) -> Callable[[bytes], bytes]:
    """Return what changes a field of a plain WAV's header."""
    field = struct.pack(size, value)
    return lambda data: data[:place] + field + data[place + len(field) :]


def promising(data: bytes) -> bytes:
    """Let an RF64 promise a terabyte."""
    at = data.index(b"ds64") + 8
    return data[:at] + struct.pack("<QQQ", 1 << 40, 1 << 40, 1 << 39) + data[at + 24 :]


def without_length(data: bytes) -> bytes:
    """Take an MP3's or FLAC's own number of samples out of it."""
    if data[:4] == b"fLaC":  # 36 bits of STREAMINFO
        return data[:21] + bytes([data[21] & 0xF0]) + bytes(4) + data[26:]
    return data.replace(b"Xing", bytes(4)).replace(b"Info", bytes(4))


def with_chunks(data: bytes) -> bytes:
    extra = b"LIST" + struct.pack("<I", 5) + b"INFOx\0"  # odd size, hence padded
    return data[:36] + extra + data[36:] + extra


def with_id3(data: bytes) -> bytes:
    size = 100_000  # a cover
    parts = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + parts + bytes(size) + data


def linked(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def poke(value: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return what changes a sample in the middle."""

    def change(samples: np.ndarray) -> np.ndarray:
        samples[len(samples) // 2] = value
        return samples

    return change


NO_AUDIO = "not a readable audio file"
CUT = "cut off|damaged|not a readable"
GOOD = {
    # kinds of samples
    "pcm16.wav": Odd(audio()),
    "pcm8.wav": Odd(audio("PCM_U8")),
    "pcm24.wav": Odd(audio("PCM_24")),
    "pcm32.wav": Odd(audio("PCM_32")),
    "float.wav": Odd(audio("FLOAT")),
    "double.wav": Odd(audio("DOUBLE")),
    "ulaw.wav": Odd(audio("ULAW")),
    "alaw.wav": Odd(audio("ALAW")),
    "ima.wav": Odd(audio("IMA_ADPCM"), note="IMA_ADPCM became PCM_16", padded=True),
    "ms.wav": Odd(audio("MS_ADPCM"), note="MS_ADPCM became PCM_16", padded=True),
    "gsm.wav": Odd(audio("GSM610", rate=8000), note="GSM610 became", padded=True),
    # kinds of files
    "extensible.wav": Odd(audio("PCM_24", "WAVEX")),
    "large.wav": Odd(audio("PCM_16", "RF64")),
    "large2.rf64": Odd(audio("PCM_16", "RF64")),
    "sony.w64": Odd(audio()),
    "apple.aiff": Odd(audio()),
    "apple24.aif": Odd(audio("PCM_24", "AIFF")),
    "compressed.aifc": Odd(audio("ULAW", "AIFF")),
    "sun.au": Odd(audio()),
    "next.snd": Odd(audio("ULAW", "AU")),
    "core.caf": Odd(audio()),
    "lossless.caf": Odd(audio("ALAC_16")),
    "creative.voc": Odd(audio()),
    "sphere.sph": Odd(audio(kind="NIST")),
    "other.wave": Odd(audio(kind="WAV")),
    "flac16.flac": Odd(audio()),
    "flac24.flac": Odd(audio("PCM_24")),
    "vorbis.ogg": Odd(audio("VORBIS")),
    "opus.ogg": Odd(audio("OPUS")),
    "opus2.opus": Odd(audio("OPUS", "OGG", 48000, 2)),
    "vorbis2.oga": Odd(audio("VORBIS", "OGG")),
    "plain.mp3": Odd(audio()),
    "unknown.mp3": Odd(changed(without_length), padded=True),
    "cover.mp3": Odd(changed(with_id3)),
    "flac_inside.wav": Odd(audio(kind="FLAC")),
    "UPPER.WAV": Odd(audio(kind="WAV")),
    # rates, channels, lengths and levels
    **{f"{rate}.wav": Odd(audio(rate=rate)) for rate in (8000, 11025, 44100, 192000)},
    "telephone.mp3": Odd(audio(rate=8000)),
    "stereo.wav": Odd(audio(channels=2)),
    "surround.flac": Odd(audio(channels=6, rate=48000)),
    "one_sample.wav": Odd(audio(change=lambda samples: samples[4000:4001]), samples=1),
    "silent.wav": Odd(audio(change=np.zeros_like)),
    "offset.wav": Odd(audio("FLOAT", change=lambda samples: samples + 0.2)),
    "loud.wav": Odd(audio("FLOAT", change=lambda samples: 3 * samples)),
    "loud2.aiff": Odd(audio("FLOAT", change=lambda samples: 3 * samples)),
    # headers
    "piped.wav": Odd(changed(wav_sizes(0xFFFFFFFF))),
    "piped_sox.wav": Odd(changed(wav_sizes(0x7FFFF000))),
    "chunks.wav": Odd(changed(with_chunks)),
    "more_behind.wav": Odd(changed(lambda data: data + b"a page of text")),
    # names and places
    "with space, ünd 音.wav": Odd(audio()),
    LATIN_1: Odd(audio()),
    "n" * 251 + ".wav": Odd(audio()),
    "new\nline.wav": Odd(audio()),
    "\x1b[2Jred.wav": Odd(audio()),
    "-o.wav": Odd(audio()),
    "=HYPERLINK(1).wav": Odd(audio()),
    "<b>bold<b>.wav": Odd(audio()),
    "deep/er/a.wav": Odd(audio()),
    "d.wav/inside.wav": Odd(audio()),
    "link.wav": Odd(linked("pcm16.wav")),
}
BY_FFMPEG = {
    "aac.m4a": Odd(by_ffmpeg("-c:a", "aac"), padded=True),
    "film.mp4": Odd(by_ffmpeg("-c:a", "aac"), padded=True),
    "matroska.mka": Odd(by_ffmpeg("-c:a", "flac")),
    "web.webm": Odd(by_ffmpeg("-c:a", "libopus", "-ar", "48000")),
    "windows.wma": Odd(by_ffmpeg(), padded=True),
    "raw.aac": Odd(by_ffmpeg(), padded=True),
    "old.mp2": Odd(by_ffmpeg(), padded=True),
    "unknown2.flac": Odd(changed(without_length), note="its codec became PCM_16"),
}
BAD = {
    "text.wav": Odd(content(b"no audio"), NO_AUDIO),
    "page.flac": Odd(content(b"<!DOCTYPE html><title>404</title>" * 99), NO_AUDIO),
    "pointer.wav": Odd(content(b"version https://git-lfs.github.com/spec"), NO_AUDIO),
    "picture.wav": Odd(content(b"\x89PNG\r\n\x1a\n" + bytes(500)), NO_AUDIO),
    "zeros.mp3": Odd(content(bytes(5000)), NO_AUDIO),
    "empty.wav": Odd(content(b""), r"empty \(0 bytes\)"),
    "no_samples.wav": Odd(audio(change=lambda samples: samples[:0]), "no samples"),
    "stopped.wav": Odd(changed(wav_sizes(0)), "its header tells of no samples, but"),
    "half_wav.wav": Odd(cut_off(), CUT),
    "half_flac.flac": Odd(cut_off(), CUT),
    "half_mp3.mp3": Odd(cut_off(), CUT),
    **{
        f"half_{kind}.{kind}": Odd(cut_off(), CUT)
        for kind in "w64 aiff au caf voc".split()
    },
    "half_rf64.rf64": Odd(cut_off(kind="RF64"), CUT),
    "terabyte.rf64": Odd(changed(promising, kind="RF64"), CUT),
    "24_in_32.wav": Odd(
        changed(header_field(32, "<H", 4), subtype="PCM_24"), "contradicts itself"
    ),
    "header.wav": Odd(changed(lambda data: data[:30]), NO_AUDIO),
    "nan.wav": Odd(audio("FLOAT", change=poke(np.nan)), "NaN or infinite .* 0.250 s"),
    "infinite.wav": Odd(audio("FLOAT", change=poke(np.inf)), "NaN or infinite"),
    "int16_as_float.wav": Odd(
        audio("FLOAT", change=lambda samples: 32768 * samples), "divide them by 32768"
    ),
    "no_rate.wav": Odd(changed(header_field(24, "<I", 0)), "0 Hz|not a readable"),
    "one_hertz.wav": Odd(changed(header_field(24, "<I", 1)), "1 Hz is no sampling"),
    "no_channels.wav": Odd(changed(header_field(22, "<H", 0)), NO_AUDIO),
    "codec.wav": Odd(changed(header_field(20, "<H", 0x1234)), NO_AUDIO),
    "pipe.wav": Odd(os.mkfifo, "not a regular file"),
    "dangling.wav": Odd(linked("nowhere.wav"), "a link that leads nowhere"),
    "ring.wav": Odd(linked("ring.wav"), "a link that leads nowhere"),
}
HIDDEN = ("._pcm16.wav", ".hidden.wav", ".folder/a.wav", "notes.txt", "raw.pcm")


def make_folder(folder: Path) -> dict[Path, Odd]:
    """Write all of it, and links to a folder, to its own parent, and out of it."""
    assert find_ffmpeg(), "a part of the files needs ffmpeg: pip install imageio-ffmpeg"
    odd = {**GOOD, **BAD, **BY_FFMPEG}
    for name in HIDDEN:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        audio(kind="WAV")(folder / name)
    for name, file in odd.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        file.make(folder / name)
    (folder / "deep" / "up").symlink_to(folder)
    (folder / "again").symlink_to("deep")
    outside = folder.with_name(f"outside_{folder.name}")
    outside.mkdir()
    audio()(outside / "far.wav")
    (folder / "outside").symlink_to(outside)
    odd["outside/far.wav"] = Odd(audio())
    return {folder / name: file for name, file in odd.items()}
