"""All that is random about a mixture, drawn from lengths alone before audio is read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechbrain_mal.data.mixing import Choice, Mixing, draw

# Crossfades where two files join. Noises change slowly into one another; speech files
# are cut at a pause as a rule, where it only takes to avoid a click.
_SPEECH_FADE_SECONDS = 0.01
_NOISE_FADE_SECONDS = 0.1
_TRIES = 20  # draws before the files that are left are listed


@dataclass(frozen=True)
class Piece:
    """A stretch of one file, in samples at the mixture's rate."""

    file: int
    start: int
    samples: int


@dataclass(frozen=True)
class Track:
    """Pieces that are joined, and what is done to them."""

    pieces: tuple[Piece, ...]
    fade: int  # samples that two pieces overlap
    gain_db: float = 0.0
    filter: tuple[float, float, float, float] | None = None  # b1, b2, a1, a2
    clipping: float | None = None  # share of the peak


@dataclass(frozen=True)
class Plan:
    """One mixture: files, positions and values. None means that it is not done."""

    speech: Track
    noises: tuple[Track, ...]
    snr_db: float
    gain_db: float | None
    level_db: float | None
    rir: int | None
    cutoff_hz: float | None
    attenuation_db: float | None
    offset: float | None


class Planner:
    """Draw mixtures; each is a function of (seed, epoch, index, attempt) alone.

    A file is drawn with a probability proportional to its length, so that every second
    of a corpus is heard as often as any other. No file is in a mixture twice: a noise
    that is shorter than the mixture is continued by another file, and where noise files
    run out there are fewer noises (speech files are then used again). What one setting
    draws does not depend on another: two runs that differ in `p_reverb` have the same
    speech, noises and SNRs.

    Made of the settings, the files' lengths in samples at the mixture's rate, int
    `[files]`, and the number of room impulse responses. Too few are a ValueError.

    Example
    -------
    >>> mixing = Mixing(seconds=2, sample_rate=16000, p_reverb=0)
    >>> planner = Planner(mixing, [48000, 16000], [48000] * 5)
    >>> plan = planner(epoch=1, index=7)
    >>> sum(piece.samples for piece in plan.noises[0].pieces)
    32000
    """

    def __init__(
        self,
        mixing: Mixing,
        clean_samples: Sequence[int] | np.ndarray,
        noise_samples: Sequence[int] | np.ndarray,
        rirs: int = 0,
    ):
        self.mixing, self.rirs = mixing, rirs
        rate = mixing.sample_rate
        self._speech = _Files(clean_samples, round(_SPEECH_FADE_SECONDS * rate))
        self._noise = _Files(noise_samples, round(_NOISE_FADE_SECONDS * rate))
        if not self._speech.usable:
            raise ValueError(
                f"no clean file is longer than {2 * _SPEECH_FADE_SECONDS} s: add speech"
            )
        if self._noise.longest < mixing.samples:
            raise ValueError(
                "all noise files together are shorter than one mixture of "
                f"{mixing.seconds} s, so noise would repeat: add noise files"
            )
        if mixing.p_reverb and not rirs:
            raise ValueError(
                f"p_reverb is {mixing.p_reverb}, but there are no room impulse "
                "responses: prepare some, or set p_reverb to 0"
            )

    def __call__(self, epoch: int, index: int, attempt: int = 0) -> Plan:
        """Return the plan of a mixture; `attempt` counts those that came to nothing."""
        m, rirs = self.mixing, self.rirs
        # Always four words: SeedSequence does not tell (1, 2) from (1, 2, 0).
        root = np.random.SeedSequence((m.seed, epoch, index, attempt))
        streams = map(np.random.default_rng, root.spawn(5))
        speech, noise, levels, distortions, chances = streams
        plan = {
            "snr_db": draw(m.snr_db, levels),
            "gain_db": None if m.gain_db is None else draw(m.gain_db, levels),
            "level_db": None if m.level_db is None else draw(m.level_db, levels),
            "rir": _maybe(m.p_reverb, chances, lambda rng: int(rng.random() * rirs)),
            "cutoff_hz": _maybe(m.p_band_limit, chances, m.cutoff_hz),
            "attenuation_db": _maybe(m.p_attenuation, chances, m.attenuation_db),
            # A further one comes last, so that those before it stay as they were.
            "offset": _maybe(m.p_offset, chances, m.offset),
            "speech": Track(
                self._speech.draw(m.samples, speech, set(), again=True),
                self._speech.fade,
                filter=_maybe(m.p_filter, distortions, _random_filter),
                clipping=_maybe(m.p_clipping, distortions, m.clipping),
            ),
        }
        used: set[int] = set()
        noises = []
        for _ in range(round(draw(m.noises, noise))):
            if not (pieces := self._noise.draw(m.samples, noise, used)):
                break
            noises.append(
                Track(
                    pieces,
                    self._noise.fade,
                    gain_db=draw(m.noise_gain_db, levels),
                    filter=_maybe(m.p_filter, distortions, _random_filter),
                    clipping=_maybe(m.p_noise_clipping, distortions, m.noise_clipping),
                )
            )
        return Plan(noises=tuple(noises), **plan)


class _Files:
    """Draw the pieces that fill a segment, every second of the files equally likely.

    What is too short to overlap by `fade` samples at both ends is never drawn.
    """

    def __init__(self, samples: Sequence[int] | np.ndarray, fade: int):
        self.fade = fade
        self._samples = np.asarray(samples, dtype=np.int64)
        self._weights = np.where(self._samples > 2 * fade, self._samples, 0)
        self._cumulative = np.cumsum(self._weights)
        self.usable = int(np.count_nonzero(self._weights))
        # Of a segment of all of them, one after another.
        self.longest = int(self._weights.sum()) - max(self.usable - 1, 0) * fade

    def draw(
        self,
        samples: int,
        rng: np.random.Generator,
        used: set[int],
        again: bool = False,
    ) -> tuple[Piece, ...]:
        """Return pieces that join to a segment of `samples` after the crossfades.

        Files in `used` are not drawn; those that are drawn are added to it. Once all
        are used up it starts over with `again`, and without it the result is empty.
        """
        pieces: list[Piece] = []
        missing = samples
        while missing:
            file = self._pick(rng, used)
            if file is None and again and used:
                used.clear()
                continue
            if file is None:
                return ()
            used.add(file)
            needed = missing + (self.fade if pieces else 0)
            length = min(needed, int(self._samples[file]))
            start = int(rng.random() * (self._samples[file] - length + 1))
            pieces.append(Piece(file, start, length))
            missing = needed - length
        return tuple(pieces)

    def _pick(self, rng: np.random.Generator, used: set[int]) -> int | None:
        if len(used) < self.usable:
            for _ in range(_TRIES):
                file = _at(self._cumulative, rng.random())
                if file not in used:
                    return file
        left = self._weights.copy()
        left[list(used)] = 0
        number = rng.random()
        return _at(np.cumsum(left), number) if left.any() else None


def _at(cumulative: np.ndarray, number: float) -> int:
    """Return the file at a position from 0 to 1 of the whole."""
    return int(np.searchsorted(cumulative, int(number * cumulative[-1]), side="right"))


def _maybe(
    probability: float,
    rng: np.random.Generator,
    choice: Choice | Callable[[np.random.Generator], Any],
) -> Any:
    """Return a drawn value with a probability, else None."""
    wanted = rng.random() < probability
    # Drawn in any case: what is drawn after it stays the same.
    value = choice(rng) if callable(choice) else draw(choice, rng)
    return value if wanted else None


def _random_filter(rng: np.random.Generator) -> tuple[float, ...]:
    """Return b1, b2, a1, a2, each from -3/8 to 3/8 (RNNoise, section IV)."""
    return tuple((rng.random() - 0.5) * 0.75 for _ in range(4))
