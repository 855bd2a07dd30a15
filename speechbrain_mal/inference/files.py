"""Audio files through a stream, block by block: memory does not depend on length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

from speechbrain_mal.audio import AudioError, AudioFile, output_format, write_audio
from speechbrain_mal.audio.reader import RATES
from speechbrain_mal.inference.stream import Stream, noise_gain


def enhance_file(
    new_stream: Callable[[int], Stream],
    path: str | Path,
    output: str | Path,
    atten_lim_db: float | None = None,
    sample_rate: int | None = None,
    subtype: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> list[str]:
    """Enhance an audio file of any length, rate and number of channels.

    The output has the input's rate, channels and length, and where its format can hold
    them, subtype, bit rate and tags. It appears under its name only when it is whole.
    Returns what a user should know: another subtype than the input's, clipped samples.
    AudioError when the input can't be read to its end (see `AudioFile`), the output is
    the input, or its format can't hold it (see `output_format`), OSError when it can't
    be written.

    Arguments
    ---------
    new_stream : callable
        From a number of channels to a new `Stream`, or what has its `sample_rate`,
        `push` and `flush`.
    path, output : path
        Files; the output's suffix says its format.
    atten_lim_db : float, optional
        As of `Stream`, at the output's rate.
    sample_rate, subtype : int, str, optional
        The output's, in Hz and such as "PCM_16", instead of the input's.
    progress : callable, optional
        Called with the seconds of audio of each block when it is done.
    """
    path, output = Path(path), Path(output)
    gain = check_options(atten_lim_db, sample_rate, subtype)
    if output.is_dir():
        raise AudioError(output, "a folder stands in the output's place.")
    with AudioFile(path) as source:
        if output.exists() and output.samefile(path):
            raise AudioError(output, "the output is the input; name another file.")
        rate = sample_rate or source.sample_rate
        layout = output_format(output, rate, source.channels, subtype, source)
        with write_audio(output, layout) as target:
            stream = new_stream(source.channels)
            for block in _enhanced_blocks(stream, source, gain, rate):
                if not np.isfinite(block).all():
                    reason = "the enhancer makes NaN or infinite samples of it."
                    raise AudioError(path, reason)
                target.write(block)
                if progress:
                    progress(len(block) / rate)
        notes = []
        if target.clipped:
            notes.append(f"{target.clipped} samples beyond full scale were clipped")
        kept = subtype or layout.subtype == source.subtype
        if not kept and output.suffix.lower() == path.suffix.lower():
            notes.append(f"{source.subtype or 'its codec'} became {layout.subtype}")
    return notes


def check_options(
    atten_lim_db: float | None = None,
    sample_rate: int | None = None,
    subtype: str | None = None,
) -> float:
    """Refuse options that are wrong whatever the file is; return the `noise_gain`."""
    if sample_rate is not None and sample_rate not in RATES:
        raise ValueError(
            f"a sample rate of {sample_rate} Hz is not in {RATES[0]} to {RATES[-1]} Hz."
        )
    known = soundfile.available_subtypes()
    if subtype is not None and subtype.upper() not in known:
        raise ValueError(f"No subtype {subtype!r}: choose from {', '.join(known)}.")
    return noise_gain(atten_lim_db)


def _enhanced_blocks(
    stream: Stream, source: AudioFile, gain: float, rate: int
) -> Iterator[np.ndarray]:
    """Yield enhanced blocks `[n, channels]` at `rate`, as long as the source in all."""
    channels, written, read = source.channels, 0, 0
    down = _resampler(source.sample_rate, stream.sample_rate, channels)
    up = _resampler(stream.sample_rate, rate, channels)
    to_output = _resampler(source.sample_rate, rate, channels)
    noisy = np.zeros((0, channels), np.float32)  # whose enhanced ones are to come
    for block, following in pairwise(chain(source.blocks(), [None])):
        last = following is None
        read += len(block)
        enhanced = stream.push(torch.from_numpy(down(block, last).T.copy())).cpu()
        if last:
            enhanced = torch.cat([enhanced, stream.flush().cpu()], dim=1)
        enhanced = up(np.ascontiguousarray(enhanced.numpy().T), last)
        if last:  # the two ratios' rounding may miss or add a sample
            left = -(-read * rate // source.sample_rate) - written
            enhanced = _of_length(enhanced, left)
        written += len(enhanced)
        if gain:
            # The enhanced signal has come through two resamplers and a model, so the
            # noisy one is never behind it, but for what rounding takes from its end.
            noisy = np.concatenate([noisy, to_output(block, last)])
            if last:
                noisy = _of_length(noisy, len(enhanced))
            enhanced = gain * noisy[: len(enhanced)] + (1 - gain) * enhanced
            noisy = noisy[len(enhanced) :]
        yield enhanced


def _of_length(signal: np.ndarray, samples: int) -> np.ndarray:
    return np.pad(signal[:samples], ((0, max(samples - len(signal), 0)), (0, 0)))


def _resampler(
    rate: int, new_rate: int, channels: int
) -> Callable[[np.ndarray, bool], np.ndarray]:
    """Return a function of a block `[n, channels]` and whether it is the last."""
    if rate == new_rate:
        return lambda block, last: block
    return soxr.ResampleStream(rate, new_rate, channels).resample_chunk
