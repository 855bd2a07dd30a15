"""Carry out the plan of a mixture: read the audio, distort it, add it up.

The differences from DeepFilterNet2's public code, which the settings are modelled on:
the SNR is of the speech while it is active (there: of the segment), noises have equal
RMS before their gains (there: their recorded level), the early target is an exact cut
of the impulse response (there: a faster decay mixed with dry speech), reverberation is
of the speech alone (there: of noise as well).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from speechbrain_mal.data import acoustics
from speechbrain_mal.data.acoustics import power
from speechbrain_mal.data.mixing import Mixing
from speechbrain_mal.data.plan import Piece, Plan, Track

_SILENT = 1e-8  # power of -80 dB of full scale: there is nothing below this

Read = Callable[[str, Piece], np.ndarray]


class SilentSegmentError(ValueError):
    """The drawn speech, or all of the drawn noise, has nothing in it to scale."""


@dataclass(frozen=True)
class Mixture:
    """A mixture and what it is made of, float32 `[samples]` each.

    `noisy` is `speech + noise`, and the offset if there is one. `clean` is the target:
    `speech` as it was before late reverberation, clipping and band limitation, at the
    same scale, and with what noise the target keeps.
    """

    noisy: np.ndarray
    clean: np.ndarray
    speech: np.ndarray
    noise: np.ndarray


def render(plan: Plan, mixing: Mixing, read: Read) -> Mixture:
    """Make the mixture of a plan.

    The SNR is between the clean speech, before a target keeps noise, on its active
    frames and the noise on the whole segment. One gain is applied to everything. If
    something would exceed full scale, it is lowered, all by the same factor, unless
    `within_full_scale` is off. `read` is as `Sources.read`.

    Where the speech, the noise or the impulse response is silent, it raises a
    `SilentSegmentError`: take the plan of the next attempt.
    """
    rate = mixing.sample_rate
    speech = clean = _join(plan.speech, "clean", read)
    if power(speech) < _SILENT:
        raise SilentSegmentError("the clean segment is silent")
    if plan.rir is not None:
        rir = read("rir", Piece(plan.rir, 0, 0))
        if not rir.any():
            raise SilentSegmentError("a room impulse response is silent")
        early_samples = round(mixing.early_ms / 1000 * rate)
        speech, early = acoustics.reverberate(speech, rir, early_samples)
        clean = early if mixing.target == "early" else speech
    if plan.speech.clipping is not None:
        speech = acoustics.clip(speech, plan.speech.clipping)
    noise = sum(_noise(track, read) for track in plan.noises)
    if plan.cutoff_hz is not None:
        speech = acoustics.low_pass(speech, plan.cutoff_hz, rate)
        noise = acoustics.low_pass(noise, plan.cutoff_hz, rate)
    if (noise_power := power(noise)) < _SILENT:
        raise SilentSegmentError(
            "the noise segment is silent, or has nothing in the band"
        )

    wanted = acoustics.active_power(clean, rate) * 10 ** (-plan.snr_db / 10)
    noise = noise * np.float32(np.sqrt(wanted / noise_power))
    noisy = speech + noise
    if plan.attenuation_db is not None:
        clean = clean + noise * np.float32(10 ** (-plan.attenuation_db / 20))
    if plan.level_db is not None:
        gain = 10 ** (plan.level_db / 20) / np.sqrt(power(noisy))
    else:
        gain = 10 ** (plan.gain_db / 20)
    offset = plan.offset or 0.0
    if mixing.within_full_scale:
        peak = gain * max(np.abs(noisy).max(), np.abs(clean).max()) + abs(offset)
        gain, offset = gain / max(peak, 1.0), offset / max(peak, 1.0)
    gain = np.float32(gain)
    noisy = gain * noisy + np.float32(offset) if offset else gain * noisy
    return Mixture(noisy, gain * clean, gain * speech, gain * noise)


def _join(track: Track, kind: str, read: Read) -> np.ndarray:
    pieces = [read(kind, piece) for piece in track.pieces]
    signal = acoustics.join(pieces, track.fade)
    return signal if track.filter is None else acoustics.color(signal, track.filter)


def _noise(track: Track, read: Read) -> np.ndarray:
    noise = _join(track, "noise", read)
    if track.clipping is not None:
        noise = acoustics.clip(noise, track.clipping)
    loudness = power(noise)
    # A pause in a recording stays one among the others.
    gain = 10 ** (track.gain_db / 20) / np.sqrt(loudness) if loudness > _SILENT else 0
    return noise * np.float32(gain)
