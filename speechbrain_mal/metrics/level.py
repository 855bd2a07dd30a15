"""Active speech level (ITU-T P.56, method B): the level of speech without its pauses.

The envelope `q` is `|x|` through two first-order low passes of 0.03 s. For a threshold
`c`, the clip is active in `a(c)` samples: those where `q >= c`, and 0.2 s after each.
Counting only those, its level is `A(c) = 10 log10(sum(x^2) / a(c))`. The active speech
level is `A` where it is 15.9 dB above its own threshold.
"""

import numpy as np
from scipy.signal import lfilter

TIME_CONSTANT = 0.03  # s, of each low pass; these three numbers are the standard's
HANGOVER = 0.2  # s
MARGIN = 15.9  # dB


def active_speech_level(waveform: np.ndarray, sample_rate: int) -> tuple[float, float]:
    """Return the active speech level in dBov and the part of the time it is active.

    Thresholds lie 6.02 dB (a factor of 2) apart, and between the two around the margin
    `A` is interpolated in dB. The standard's meter of 16-bit samples has the 15 from
    -90.3 to -6.02 dBov; here they go on in both directions, so that the level of a
    quiet clip, or of one that would clip, is measured just the same. ITU's tool `sv56`
    searches the same line and stops within 0.5 dB of the margin. There is no band
    filter, as in `sv56`. 0 dBov (ITU-T G.100.1) is a square wave of amplitude 1.0, so a
    sine of amplitude 1.0 is at -3.01.

    A ValueError where the clip is silent, or no threshold is 15.9 dB below its level: a
    click, or less than about 0.06 s of sound, to which the envelope doesn't rise.

    Example
    -------
    >>> tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(32000) / 16000)
    >>> paused = np.concatenate([tone, np.zeros(32000)])
    >>> level, activity = active_speech_level(paused, 16000)  # -23.01 as a mere tone
    >>> round(level, 1), round(activity, 1)
    (-23.6, 0.6)
    """
    waveform = np.asarray(waveform, np.float64)
    if not waveform.any():
        raise ValueError("P.56: the clip is silent")
    g = np.exp(-1 / (TIME_CONSTANT * sample_rate))
    envelope = np.abs(waveform)
    for _ in range(2):
        envelope = lfilter([1 - g], [1, -g], envelope)
    peak = envelope.max()
    hangover = int(HANGOVER * sample_rate + 0.5)
    energy_db = 10 * np.log10(waveform @ waveform)
    long_term_db = energy_db - 10 * np.log10(len(waveform))

    def measure(threshold):  # the level A(c), and how far it is above c
        if threshold > peak:
            raise ValueError("P.56: no active speech, only a click or too short a clip")
        reached = np.flatnonzero(envelope >= threshold)
        gaps = np.diff(reached, append=len(envelope))
        active = int(np.minimum(gaps, hangover + 1).sum())  # a(c)
        level_db = energy_db - 10 * np.log10(active)
        return level_db, level_db - 20 * np.log10(threshold)

    # No threshold below this one can be nearer than the margin: A(c) is never less than
    # the long-term level.
    threshold = 2.0 ** np.floor(np.log2(10.0) * (long_term_db - MARGIN) / 20)
    lower = upper = measure(threshold)
    while upper[1] > MARGIN:
        threshold *= 2
        lower, upper = upper, measure(threshold)
    level_db = np.interp(MARGIN, [upper[1], lower[1]], [upper[0], lower[0]])
    return float(level_db), float(10 ** ((long_term_db - level_db) / 10))


def set_level(waveform: np.ndarray, sample_rate: int, level_db: float) -> np.ndarray:
    """Return the clip scaled to an active speech level, by one gain, as `sv56` does.

    Measured again, the level is not exactly that: the thresholds stand where they did.
    Nothing is clipped. Errors are those of `active_speech_level`.

    Example
    -------
    >>> tone = np.sin(2 * np.pi * 440 * np.arange(32000) / 16000)
    >>> quiet = set_level(tone, 16000, -26)
    >>> round(active_speech_level(quiet, 16000)[0], 1)
    -26.0
    """
    gain = 10 ** ((level_db - active_speech_level(waveform, sample_rate)[0]) / 20)
    return waveform * waveform.dtype.type(gain)
