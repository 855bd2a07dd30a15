"""What a metric is: a function, and what has to be known of it before it is called."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module

import numpy as np

Scores = float | dict[str, float]


@dataclass(frozen=True)
class Metric:
    """A function that scores one clip, and what has to be known of it.

    Arguments
    ---------
    function : str or callable
        `function(enhanced, clean, sample_rate, **options)` to a number, or to a dict of
        numbers by column. It raises ValueError for a clip that it is not defined for,
        FileNotFoundError or ImportError where weights or a package are missing. As
        `module.name` in this package it is imported when it is used: most processes
        need neither torch nor SpeechBrain.
    columns : dict of str to str
        Columns of the table, and how a heading names them.
    needs_clean : bool
        Whether it compares with the clean clip.
    audible : tuple of str
        Which of the clips, `enhanced` and `clean`, may not be silent.
    seconds : (float, float)
        Shortest and longest clip.
    rates : tuple of int
        Rates in Hz that it takes, all without any; others are resampled to the last.
    lower_is_better : bool
        Whether it measures an error.
    weight : str, optional
        Column that weighs the clips in the mean (words, for a word error rate).
    transcript : bool
        Whether the function takes the spoken words, as `transcript`.
    file, required : str, bool
        Option that names a model's file or source; without, it is fetched or an error.
    options : dict of str to tuple
        Further options of the function, and the values of each; empty if it takes any.
    package : str, optional
        Distribution that computes it, for the record.

    Example
    -------
    >>> metric = Metric("intrusive.snr", {"snr": "SNR (dB)"})
    >>> metric.score(np.ones(16000), np.zeros(16000), 16000)
    Traceback (most recent call last):
    ValueError: the clean clip is silent
    """

    function: str | Callable[..., Scores]
    columns: dict[str, str]
    needs_clean: bool = True
    audible: tuple[str, ...] = ("clean",)
    seconds: tuple[float, float] = (0.0, math.inf)
    rates: tuple[int, ...] = ()
    lower_is_better: bool = False
    weight: str | None = None
    transcript: bool = False
    file: str | None = None
    required: bool = False
    options: dict[str, tuple] = field(default_factory=dict)
    package: str | None = None

    def load(self) -> Callable[..., Scores]:
        """Return the function."""
        if callable(self.function):
            return self.function
        module, name = self.function.split(".")
        return getattr(import_module(f"speechbrain_mal.metrics.{module}"), name)

    def score(
        self,
        enhanced: np.ndarray,
        clean: np.ndarray | None,
        sample_rate: int,
        **options: object,
    ) -> dict[str, float]:
        """Return a clip's scores by column.

        Waveforms are `[samples]`, full scale 1.0, both of one rate in Hz; a metric that
        needs no reference works without the clean one. Where it is not defined for the
        clip, this is a ValueError (packages differ: one raises, one returns NaN, one a
        number that means nothing); a missing package or file is an ImportError or
        FileNotFoundError.
        """
        from scipy.signal import resample_poly

        rate = (
            sample_rate if sample_rate in self.rates else [sample_rate, *self.rates][-1]
        )
        clips = {"enhanced": enhanced, "clean": clean}
        for name, clip in clips.items():
            if clip is None:
                continue
            if name in self.audible and not np.any(clip):
                raise ValueError(f"the {name} clip is silent")
            length, (low, high) = len(clip) / sample_rate, self.seconds
            if not low <= length <= high:
                limit = f"at least {low:g}" if length < low else f"at most {high:g}"
                raise ValueError(
                    f"the {name} clip has {length:.3f} s, and {limit} s can be scored"
                )
            if rate != sample_rate:
                clips[name] = resample_poly(clip, rate, sample_rate)
        value = self.load()(*clips.values(), rate, **options)
        scores = value if isinstance(value, dict) else {[*self.columns][0]: value}
        if any(map(math.isnan, scores.values())):
            raise ValueError("the score is NaN")
        return {column: float(score) for column, score in scores.items()}
