"""Audio files through a stream, block by block: memory does not depend on length."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

from speechbrain_mal.inference.stream import Stream, noise_gain

BLOCK_SECONDS = 2.0


def enhance_file(
    new_stream: Callable[[int], Stream],
    path: str | Path,
    output: str | Path,
    atten_lim_db: float | None = None,
    sample_rate: int | None = None,
    subtype: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Enhance an audio file of any length, rate and number of channels.

    The output has the input's rate, channels, length and, where its format can hold
    it, subtype. It appears under its name only when it is whole.

    Arguments
    ---------
    new_stream : callable
        From a number of channels to a new `Stream`, or what has its `sample_rate`,
        `push` and `flush`.
    path, output : path
        Files; the output's suffix says its format.
    atten_lim_db : float, optional
        As of `Stream`, here taken at the file's own rate. With another `sample_rate`
        at that.
    sample_rate : int, optional
        Sampling rate of the output in Hz, instead of the input's.
    subtype : str, optional
        Subtype of the output, such as "PCM_16", instead of the input's.
    progress : callable, optional
        Called with the seconds of audio of each block when it is done.

    Raises
    ------
    ValueError
        When the input is not audio, empty, or holds NaN or infinite samples, when the
        output is the input, or its format or subtype is unknown.
    OSError
        When a file is missing or can't be written.
    """
    path, output = Path(path), Path(output)
    gain = noise_gain(atten_lim_db)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file.")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"{output}: its folder does not exist; make it first.")
    if output.exists() and output.samefile(path):
        raise ValueError(f"{output}: the output is the input; name another file.")
    try:
        source = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path}: not a readable audio file ({error}).") from error
    partial = output.with_name(f".{output.name}.{os.getpid()}.partial")
    with source:
        if source.frames == 0:
            raise ValueError(f"{path}: the file holds no samples.")
        layout = _layout(source, output, sample_rate, subtype)
        rate = layout["samplerate"]
        samples = -(-source.frames * rate // source.samplerate)
        try:
            with soundfile.SoundFile(partial, "w", **layout) as target:
                for block in _enhanced_blocks(
                    new_stream(source.channels), source, path, gain, rate, samples
                ):
                    target.write(block)
                    if progress:
                        progress(len(block) / rate)
            if soundfile.info(partial).frames != samples:
                raise OSError("it is incomplete; is the disk full?")
            os.replace(partial, output)
        except (AssertionError, OSError, soundfile.LibsndfileError) as error:
            # soundfile asserts that it wrote what it was given.
            raise OSError(f"{output}: can't be written ({error}).") from error
        finally:
            partial.unlink(missing_ok=True)


def _layout(
    source: soundfile.SoundFile,
    output: Path,
    sample_rate: int | None,
    asked: str | None,
) -> dict:
    """Return the arguments with which the output is opened."""
    suffix = output.suffix[1:].upper()
    same = suffix == Path(source.name).suffix[1:].upper()
    kind = source.format if same else {"AIF": "AIFF"}.get(suffix, suffix)
    if kind not in soundfile.available_formats():
        raise ValueError(f"{output}: no audio format has the suffix '{output.suffix}'.")
    subtype = source.subtype
    if not same and not (
        subtype.startswith(("PCM", "FLOAT", "DOUBLE"))
        and soundfile.check_format(kind, subtype)
    ):
        subtype = soundfile.default_subtype(kind)
    if asked and not soundfile.check_format(kind, asked):
        known = ", ".join(soundfile.available_subtypes(kind))
        raise ValueError(f"{output}: {kind} has no subtype {asked!r}, but {known}.")
    if sample_rate is not None and sample_rate < 1:
        raise ValueError(f"sample_rate must be positive, not {sample_rate} Hz.")
    return {
        "samplerate": sample_rate or source.samplerate,
        "channels": source.channels,
        "format": kind,
        "subtype": asked or subtype,
    }


def _enhanced_blocks(
    stream: Stream,
    source: soundfile.SoundFile,
    path: Path,
    gain: float,
    rate: int,
    left: int,
) -> Iterator[np.ndarray]:
    """Yield enhanced blocks `[n, channels]` at `rate`, `left` samples in all."""
    channels = source.channels
    down = _resampler(source.samplerate, stream.sample_rate, channels)
    up = _resampler(stream.sample_rate, rate, channels)
    to_output = _resampler(source.samplerate, rate, channels)
    noisy = np.zeros((0, channels), np.float32)  # whose enhanced ones are to come
    for block, last in _blocks(source, path):
        enhanced = stream.push(torch.from_numpy(down(block, last).T.copy())).cpu()
        if last:
            enhanced = torch.cat([enhanced, stream.flush().cpu()], dim=1)
        enhanced = up(np.ascontiguousarray(enhanced.numpy().T), last)
        if last:  # the two ratios' rounding may miss or add a sample
            enhanced = np.pad(enhanced, ((0, max(left - len(enhanced), 0)), (0, 0)))
        enhanced = enhanced[:left]
        left -= len(enhanced)
        if gain:
            # The enhanced signal has come through two resamplers and a model, so the
            # noisy one is never behind it, but for what rounding takes from its end.
            noisy = np.concatenate([noisy, to_output(block, last)])
            if last:
                missing = max(len(enhanced) - len(noisy), 0)
                noisy = np.pad(noisy, ((0, missing), (0, 0)))
            enhanced = gain * noisy[: len(enhanced)] + (1 - gain) * enhanced
            noisy = noisy[len(enhanced) :]
        yield enhanced


def _blocks(
    source: soundfile.SoundFile, path: Path
) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield blocks of the file, `[n, channels]`, and whether each is the last."""
    size, read = round(BLOCK_SECONDS * source.samplerate), 0
    while read < source.frames:
        try:
            block = source.read(size, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise ValueError(f"{path}: not a readable audio file ({error}).") from error
        if not len(block):
            raise ValueError(
                f"{path}: it ends after {read} of the {source.frames} samples that "
                "its header tells; it may have been cut off."
            )
        if not np.isfinite(block).all():
            seconds = (read + np.argmin(np.isfinite(block).all(1))) / source.samplerate
            raise ValueError(f"{path}: NaN or infinite samples at {seconds:.3f} s.")
        read += len(block)
        yield block, read >= source.frames


def _resampler(
    rate: int, new_rate: int, channels: int
) -> Callable[[np.ndarray, bool], np.ndarray]:
    """Return a function of a block `[n, channels]` and whether it is the last."""
    if rate == new_rate:
        return lambda block, last: block
    return soxr.ResampleStream(rate, new_rate, channels).resample_chunk
