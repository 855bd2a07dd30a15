"""What rooms and microphones do to a signal, how loud speech is, and how pieces join.

Signals are `[samples]`.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.signal import firwin, lfilter, oaconvolve

_FRAME_SECONDS = 0.02
_RANGE_DB = 40  # frames so far below the loudest are pauses: what STOI leaves out, too
_STOPBAND_DB = 80.0
_TRANSITION_HZ = 400.0


def power(signal: np.ndarray) -> float:
    """Return the mean square of a signal, in double precision."""
    # Not np.dot: its sum depends on the number of BLAS threads.
    return float(np.mean(np.square(signal, dtype=np.float64)))


def active_power(signal: np.ndarray, sample_rate: int) -> float:
    """Return the mean square of speech over its active frames.

    A frame of 20 ms is active if its power is within 40 dB of that of the loudest, the
    range of STOI (C. Taal et al., IEEE TASLP 2011, section II.A). What is left at the
    end, shorter than a frame, is not looked at.
    """
    frame = min(round(_FRAME_SECONDS * sample_rate), len(signal))
    frames = signal[: len(signal) // frame * frame].reshape(-1, frame)
    powers = np.mean(np.square(frames, dtype=np.float64), axis=1)
    active = powers >= powers.max() * 10 ** (-_RANGE_DB / 10)
    return float(powers[active].mean())


def join(pieces: Sequence[np.ndarray], fade: int) -> np.ndarray:
    """Join pieces with crossfades that keep the power of what is uncorrelated.

    Pieces are longer than `fade`, those between two others longer than twice that; the
    result is as long as all of them, less `fade` for each join.

    Example
    -------
    >>> join([np.ones(4), np.zeros(4)], fade=2).round(2).tolist()
    [1.0, 1.0, 0.92, 0.38, 0.0, 0.0]
    """
    if len(pieces) == 1:
        return pieces[0]
    total = sum(map(len, pieces)) - fade * (len(pieces) - 1)
    joined = np.zeros(total, dtype=pieces[0].dtype)
    angle = (np.arange(fade) + 0.5) * (np.pi / 2 / max(fade, 1))
    rise, fall = (f(angle).astype(joined.dtype) for f in (np.sin, np.cos))
    position = 0
    for i, piece in enumerate(pieces):
        piece = piece.copy()
        if i > 0:
            piece[:fade] *= rise
        if i < len(pieces) - 1:
            piece[len(piece) - fade :] *= fall
        joined[position : position + len(piece)] += piece
        position += len(piece) - fade
    return joined


def reverberate(
    dry: np.ndarray, rir: np.ndarray, early_samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return speech in a room, and the direct and early part of that.

    The direct sound is the largest sample of the impulse response `[taps]`, whose level
    and sign don't matter; reflections up to `early_samples` later are early. The direct
    sound is not delayed, and the early part has the power of the dry speech.
    """
    direct = int(np.argmax(np.abs(rir)))
    # What comes before the direct sound (a filter's pre-ringing) stays before it.
    rir = rir / rir[direct]
    parts = []
    for taps in (rir, rir[: direct + early_samples + 1]):
        wet = oaconvolve(dry, taps)[direct : direct + len(dry)]
        parts.append(wet.astype(dry.dtype, copy=False))
    reverberant, early = parts
    gain = dry.dtype.type(np.sqrt(power(dry) / max(power(early), 1e-20)))
    return gain * reverberant, gain * early


def color(signal: np.ndarray, coefficients: Sequence[float]) -> np.ndarray:
    """Filter by (1 + b1/z + b2/z^2) / (1 + a1/z + a2/z^2), as RNNoise does.

    J.-M. Valin, "A Hybrid DSP/Deep Learning Approach to Real-Time Full-Band Speech
    Enhancement", 2018, equation 7. Coefficients are b1, b2, a1, a2; it is stable for
    |a1| + |a2| < 1.
    """
    b1, b2, a1, a2 = coefficients
    return lfilter([1, b1, b2], [1, a1, a2], signal).astype(signal.dtype, copy=False)


def clip(signal: np.ndarray, share: float) -> np.ndarray:
    """Limit a signal to a share of its own peak."""
    limit = share * np.abs(signal).max()
    return np.clip(signal, -limit, limit)


def low_pass(signal: np.ndarray, cutoff_hz: float, sample_rate: int) -> np.ndarray:
    """Remove what is above a frequency, by 80 dB, without delay.

    The transition, of 400 Hz, ends at the cut-off.
    """
    taps = _taps(cutoff_hz, sample_rate).astype(signal.dtype)
    delay = len(taps) // 2  # they are symmetric
    return oaconvolve(signal, taps)[delay : delay + len(signal)]


@lru_cache(maxsize=32)
def _taps(cutoff_hz: float, sample_rate: int) -> np.ndarray:
    # Kaiser's formulas for the window of a given attenuation and transition.
    width = 2 * np.pi * _TRANSITION_HZ / sample_rate
    taps = int((_STOPBAND_DB - 7.95) / (2.285 * width)) // 2 * 2 + 3
    beta = 0.1102 * (_STOPBAND_DB - 8.7)
    middle = max(cutoff_hz - _TRANSITION_HZ / 2, _TRANSITION_HZ / 2)
    return firwin(taps, middle, window=("kaiser", beta), fs=sample_rate)
