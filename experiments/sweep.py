"""Choosing among settings of a system, on validation scores, by one rule.

The setting with the largest gain over the default in the score of choice is
recommended if it is `better` by the rule of `claims`, p corrected over all settings,
and if the guard score does not fall by more than the margin. Otherwise the default
stays: the best of several noisy means looks better than it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.claims import LEAST_SEEDS, describe, is_better
from experiments.seeds import Difference, Runs, correct, difference
from speechbrain_mal.metrics.registry import LOWER_IS_BETTER


@dataclass(frozen=True)
class Recommendation:
    """A setting, and why.

    Attributes
    ----------
    setting, reason : str
        What to use, and why.
    gains : dict of str to Difference
        Each setting's gain over the default, best first.
    guards : dict of str to Difference
        The same of the guard score, p not corrected.
    """

    setting: str
    reason: str
    gains: Mapping[str, Difference]
    guards: Mapping[str, Difference]


def recommend(
    runs: Runs,
    default: str,
    settings: Sequence[str],
    column: str,
    guard: str,
    margin: float,
) -> Recommendation:
    """Apply the rule.

    Arguments
    ---------
    runs : dict
        Validation scores by setting and seed.
    default : str
        The setting that stays where none is better.
    settings : sequence of str
        The others.
    column, guard : str
        Scores: the one of choice, and the one that must not fall.
    margin : float
        What the guard may lose, in its unit.
    """
    gains, guards = (
        {
            setting: found
            for setting in settings
            if (found := _gain(runs, setting, default, score)) is not None
        }
        for score in (column, guard)
    )
    correct(list(gains.values()))
    gains = dict(sorted(gains.items(), key=lambda item: (-item[1].mean, item[0])))

    def choose(setting: str, reason: str) -> Recommendation:
        return Recommendation(setting, reason, gains, guards)

    allowed = [name for name in gains if guards[name].mean >= -margin]
    if not allowed:
        return choose(default, f"no other setting has scores and keeps {guard}")
    best, gain = allowed[0], gains[allowed[0]]
    if gain.seeds < LEAST_SEEDS:
        return choose(
            default, f"{best} has {gain.seeds} seed, {LEAST_SEEDS} are needed"
        )
    if not is_better(gain):
        return choose(
            default,
            f"{best}, the best other, is not better by the rule: {describe(gain)}",
        )
    return choose(best, f"better than {default}: {describe(gain)}")


def _gain(runs: Runs, setting: str, default: str, column: str) -> Difference | None:
    pair = runs.get(setting, {}), runs.get(default, {})
    return difference(*(pair[::-1] if column in LOWER_IS_BETTER else pair), column)
