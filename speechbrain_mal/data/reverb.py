"""Speech in a room, and what of it a listener takes for the direct sound."""

from __future__ import annotations

import numpy as np
from scipy.signal import oaconvolve

from speechbrain_mal.data.levels import power


def direct_path(rir: np.ndarray) -> int:
    """Return the sample of a room impulse response at which the direct sound arrives.

    It is taken to be the largest.

    Example
    -------
    >>> direct_path(np.array([0.0, 0.01, -1.0, 0.3]))
    2
    """
    return int(np.argmax(np.abs(rir)))


def reverberate(
    dry: np.ndarray, rir: np.ndarray, early_samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Convolve speech with a room impulse response, without delaying it.

    Arguments
    ---------
    dry : array, `[samples]`
        Speech.
    rir : array, `[taps]`
        The impulse response; its level and sign don't matter.
    early_samples : int
        Reflections up to so many samples after the direct sound are early.

    Returns
    -------
    (array, array), `[samples]` each
        The reverberant speech, and its direct and early part. The direct sound of both
        is where it is in `dry`; the early part has the power of `dry`.

    Raises
    ------
    ValueError
        If the impulse response is zero.

    Example
    -------
    >>> reverberant, early = reverberate(
    ...     np.array([1.0, 0, 0, 0]), np.array([0, -2.0, 1, 0.5]), early_samples=1
    ... )
    >>> (reverberant / reverberant[0]).round(2).tolist()
    [1.0, -0.5, -0.25, 0.0]
    >>> (early / early[0]).round(2).tolist()
    [1.0, -0.5, 0.0, 0.0]
    """
    direct = direct_path(rir)
    if rir[direct] == 0:
        raise ValueError("the room impulse response is zero")
    # What comes before the direct sound (a filter's pre-ringing) stays before it.
    rir = rir / rir[direct]
    parts = []
    for taps in (rir, rir[: direct + early_samples + 1]):
        wet = oaconvolve(dry, taps)[direct : direct + len(dry)]
        parts.append(wet.astype(dry.dtype, copy=False))
    reverberant, early = parts
    gain = dry.dtype.type(np.sqrt(power(dry) / max(power(early), 1e-20)))
    return gain * reverberant, gain * early
