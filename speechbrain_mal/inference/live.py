"""A microphone, enhanced as one speaks; files can stand for it and the speaker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from speechbrain_mal.audio import AudioError, AudioFile, output_format, write_audio
from speechbrain_mal.audio.walk import AUDIO_SUFFIXES
from speechbrain_mal.extras import require
from speechbrain_mal.inference.stream import Stream


@dataclass
class LiveReport:
    """How a live session went."""

    seconds: float = 0.0  # of audio
    load: float = 0.0  # share in which the enhancer was at work: it has to be below 1
    dropouts: int = 0  # blocks that the sound card lost, or had to wait for

    def __str__(self) -> str:
        return (
            f"{self.seconds:.1f} s enhanced, load {self.load:.0%}, "
            f"{self.dropouts} dropout(s)"
        )


def run_live(
    stream: Stream,
    source: str | int | None = None,
    sink: str | int | None = None,
    block_ms: float = 20.0,
) -> Iterator[LiveReport]:
    """Enhance what a microphone hears, block by block, until it ends.

    Yields the same report after every block. When the caller stops, or presses Ctrl-C,
    what is left of the signal is still put out. ImportError when a device is wanted and
    sounddevice is not installed; ValueError when there is no such device or file, it
    does not do one channel at the stream's rate, both are one file, or the block is no
    length.

    Arguments
    ---------
    stream : Stream
        A new one, of one channel; its latency adds to the sound card's.
    source, sink : str or int, optional
        Sound devices, as sounddevice names or numbers them, or audio files; without
        them the system's own.
    block_ms : float
        Length of a block in ms: shorter ones wait less and cost more.

    Example
    -------
    >>> import soundfile
    >>> from speechbrain_mal.inference import MALEnhancement, shipped_model
    >>> folder = getfixture("tmp_path")
    >>> soundfile.write(folder / "mic.wav", 0.1 * torch.randn(16000).numpy(), 16000)
    >>> enhancer = MALEnhancement.from_hparams(shipped_model("dfn2-mal-16k-tiny"))
    >>> files = str(folder / "mic.wav"), str(folder / "speaker.wav")
    >>> for report in run_live(enhancer.stream(), *files):
    ...     pass
    >>> round(report.seconds, 3)
    1.0
    """
    if not 1 <= block_ms <= 10_000:
        raise ValueError(f"block_ms is 1 to 10000 ms, not {block_ms:g}.")
    files = _is_file(source) and _is_file(sink)
    if files and Path(sink).exists() and Path(sink).samefile(source):
        raise AudioError(sink, "the output is the input; name another file.")
    rate, report, busy = stream.sample_rate, LiveReport(), 0.0
    size = max(1, round(block_ms * rate / 1000))
    with ExitStack() as stack:
        if _is_file(source):
            audio = stack.enter_context(AudioFile(source))
            if (audio.sample_rate, audio.channels) != (rate, 1):
                reason = f"in the place of a microphone it is mono, of {rate} Hz."
                raise AudioError(source, reason)
            blocks = ((block, False) for block in audio.blocks(size / rate))
        else:
            device = _open("InputStream", source, rate, size, stack)
            blocks = iter(lambda: device.read(size), None)
        if _is_file(sink):
            layout = output_format(sink, rate, channels=1)
            speaker = stack.enter_context(write_audio(sink, layout))
        else:
            speaker = _open("OutputStream", sink, rate, size, stack)
        try:
            for block, lost in blocks:
                if not len(block):
                    break
                start = time.perf_counter()
                enhanced = stream.push(torch.tensor(block[:, 0])).cpu()
                busy += time.perf_counter() - start
                late = speaker.write(enhanced.numpy()[:, None])
                report.dropouts += lost + bool(late)
                report.seconds += len(block) / rate
                report.load = busy / report.seconds
                yield report
        except (GeneratorExit, KeyboardInterrupt):  # how a session ends
            pass
        speaker.write(stream.flush().cpu().numpy()[:, None])


def _is_file(device: str | int | None) -> bool:
    # Names of devices may have a dot, too: "USB Audio 2.0".
    return isinstance(device, str) and Path(device).suffix.lower() in AUDIO_SUFFIXES


def _open(
    kind: str, name: str | int | None, rate: int, size: int, stack: ExitStack
) -> Any:
    sounddevice = require("sounddevice", "live")
    try:
        device = getattr(sounddevice, kind)(rate, size, name, 1, "float32")
        return stack.enter_context(device)
    except (ValueError, sounddevice.PortAudioError) as error:
        raise ValueError(
            f"The device {name if name is not None else 'of the system'} can't be used "
            f"with one channel at {rate} Hz ({error}). `speechbrain-mal live "
            "--list-devices` shows those there are."
        ) from error
