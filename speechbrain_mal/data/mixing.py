"""The settings of mixtures, as DeepFilterNet2's public training has them.

A value that is drawn anew for every mixture is given as a number (always this one), a
list (any of them, equally often) or a range such as `-5..40` (uniformly from one to the
other). All three can be given on the command line in place of each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from speechbrain_mal.data.manifests import check_rate
from speechbrain_mal.data.shared import SharedEpoch

Choice = float | str | Sequence[float]

_RANGES = {
    "noises": (1, float("inf")),
    "snr_db": (-200, 200),
    "gain_db": (-200, 200),
    "level_db": (-200, 200),
    "noise_gain_db": (-200, 200),
    "clipping": (1e-3, 1),
    "noise_clipping": (1e-3, 1),
    "attenuation_db": (0, float("inf")),
    "offset": (-1, 1),
}


@dataclass(kw_only=True, eq=False)
class Mixing(SharedEpoch):
    """Settings of mixtures that are made on the fly, and the epoch they are made for.

    The defaults are those of DeepFilterNet2's public configuration and code [1], as far
    as they exist there; where this differs is noted in `render`. `set_epoch` tells the
    epoch; validation leaves it at 0. "p_" is the probability of what is named after it.
    A setting out of range is a ValueError.

    [1] https://github.com/Rikorose/DeepFilterNet, libDF/src/dataset.rs

    Arguments
    ---------
    seconds, sample_rate : float, int
        Length of a mixture, and its rate in Hz.
    seed : int
        Another seed gives other mixtures; not negative.
    noises : Choice
        How many noises are summed (of a range: rounded), of several files if short.
    snr_db : Choice
        Power of the clean speech on its active frames over that of the noise on the
        whole segment.
    gain_db : Choice, optional
        Gain of the whole mixture, relative to the level of the recorded speech.
    level_db : Choice, optional
        RMS of the noisy mixture relative to full scale, instead of `gain_db` (which
        must be null then); `-60..0` is from a whisper far away to overdriven.
    within_full_scale : bool
        Whether what would exceed 1 is lowered, speech and noise alike.
    noise_gain_db : Choice
        Level of each noise among the noises of a mixture.
    p_filter : float
        A random second-order filter (RNNoise's), of the speech, and of each noise.
    p_reverb : float
        The speech is convolved with a room impulse response.
    target, early_ms : str, float
        The clean speech in reverberation: "early", the direct path and the reflections
        up to `early_ms` after it, or "reverberant", the whole of it.
    p_clipping, clipping, p_noise_clipping, noise_clipping : float, Choice
        The speech in the mixture (not in the target), or a noise, is clipped at this
        share of its peak.
    p_band_limit, cutoff_hz : float, Choice
        The noisy mixture is low-passed (the target is not). Listed frequencies that are
        not below half the sample rate are ignored.
    p_attenuation, attenuation_db : float, Choice
        The target keeps the noise, so many dB below that of the mixture.
    p_offset, offset : float, Choice
        A constant is added to the noisy mixture, as cheap microphones do (the target
        has none).

    Example
    -------
    >>> mixing = Mixing(seconds=3, sample_rate=48000, snr_db="-5..20")
    >>> mixing.samples
    144000
    """

    seconds: float
    sample_rate: int
    seed: int = 0
    noises: Choice = (2, 3, 4, 5)
    snr_db: Choice = (-5, 0, 5, 10, 20, 40)
    gain_db: Choice | None = (-6, 0, 6)
    level_db: Choice | None = None
    within_full_scale: bool = True
    noise_gain_db: Choice = (-6, 0, 6)
    p_filter: float = 0.25
    p_reverb: float = 0.1
    target: str = "early"
    early_ms: float = 20.0
    p_clipping: float = 0.0
    clipping: Choice = "0.05..0.9"
    p_noise_clipping: float = 0.1
    noise_clipping: Choice = "0.01..0.5"
    p_band_limit: float = 0.0
    cutoff_hz: Choice = (4000, 6000, 8000, 10000, 12000, 16000, 20000, 22050)
    p_attenuation: float = 0.0
    attenuation_db: Choice = "6..40"
    p_offset: float = 0.0
    offset: Choice = "-0.1..0.1"

    def __post_init__(self):
        super().__init__()
        check_rate(self.sample_rate)
        if self.samples < 1:
            raise ValueError(f"seconds is {self.seconds}: it must be positive")
        if self.target not in ("early", "reverberant"):
            raise ValueError(f"target is early or reverberant, not {self.target!r}")
        if (self.gain_db is None) == (self.level_db is None):
            raise ValueError(
                f"gain_db is {self.gain_db} and level_db is {self.level_db}: give one, "
                "and null for the other"
            )
        if isinstance(self.cutoff_hz, Sequence) and not isinstance(self.cutoff_hz, str):
            below = [f for f in self.cutoff_hz if f < self.sample_rate / 2]
            self.cutoff_hz = below or self.cutoff_hz
        ranges = dict(_RANGES)
        if self.p_band_limit:
            ranges["cutoff_hz"] = (1, self.sample_rate / 2 - 1)
        for name, value in vars(self).items():
            if name in ("seed", "early_ms") and value < 0:
                raise ValueError(f"{name} is {value}: it must not be negative")
            if name.startswith("p_") and not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}: a probability is from 0 to 1")
            if name in ranges and value is not None:
                lowest, highest = ranges[name]
                least, most = limits(name, value)
                if not lowest <= least <= most <= highest:
                    raise ValueError(
                        f"{name} is {value}: it must be from {lowest:g} to {highest:g}"
                    )

    @property
    def samples(self) -> int:
        """Length of a mixture in samples."""
        return round(self.seconds * self.sample_rate)


def limits(name: str, choice: Choice) -> tuple[float, float]:
    """Return the lowest and the highest value of a choice; of a range, its ends."""
    try:
        if isinstance(choice, str):
            return _ends(choice)
        values = [choice] if isinstance(choice, Real) else list(choice)
        if values and all(isinstance(value, Real) for value in values):
            return min(values), max(values)
    except (TypeError, ValueError):  # not even a sequence; no numbers in a range
        pass
    raise ValueError(
        f"{name} is {choice!r}: give a number, a list of numbers, or a range such as "
        "-5..40"
    )


def draw(choice: Choice, rng: np.random.Generator) -> float:
    """Draw one value of a choice; it takes one random number."""
    # Of all that a Generator gives, `random` is the least likely to change between
    # releases of NumPy; everything else is computed from it.
    number = rng.random()
    if isinstance(choice, str):
        low, high = _ends(choice)
        return low + number * (high - low)
    if isinstance(choice, Sequence):
        return float(choice[int(number * len(choice))])
    return float(choice)


def _ends(text: str) -> tuple[float, float]:
    low, high = text.split("..")
    return float(low), float(high)
