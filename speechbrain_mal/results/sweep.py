"""Choosing among settings of a system, on validation scores, by one rule.

The setting with the largest gain over the default in the score of choice is
recommended if it is `better` by the rule of `claims`, p corrected over all settings,
and if the guard score does not fall by more than the margin. Otherwise the default
stays: the best of several noisy means looks better than it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from speechbrain_mal.metrics.registry import LOWER_IS_BETTER
from speechbrain_mal.results.claims import LEAST_SEEDS, describe, is_better
from speechbrain_mal.results.seeds import Difference, Runs, correct, difference


@dataclass(frozen=True)
class Recommendation:
    """What to use, why, and each setting's gain over the default, best first."""

    setting: str
    reason: str
    gains: Mapping[str, Difference]


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
    gains = {}
    for setting in settings:
        found = _gain(runs, setting, default, column)
        if found is not None:
            gains[setting] = found
    correct(list(gains.values()))
    gains = dict(sorted(gains.items(), key=lambda item: (-item[1].mean, item[0])))
    allowed = [name for name in gains if _keeps(runs, name, default, guard, margin)]
    if not allowed:
        reason = f"no other setting has scores and keeps {guard}"
        return Recommendation(default, reason, gains)
    best, gain = allowed[0], gains[allowed[0]]
    if gain.seeds < LEAST_SEEDS:
        reason = f"{best} has {gain.seeds} seed, {LEAST_SEEDS} are needed"
        return Recommendation(default, reason, gains)
    if not is_better(gain):
        reason = f"{best}, the best other, is not better by the rule: {describe(gain)}"
        return Recommendation(default, reason, gains)
    return Recommendation(best, f"better than {default}: {describe(gain)}", gains)


def _gain(runs: Runs, setting: str, default: str, column: str) -> Difference | None:
    pair = runs.get(setting, {}), runs.get(default, {})
    return difference(*(pair[::-1] if column in LOWER_IS_BETTER else pair), column)


def _keeps(runs: Runs, setting: str, default: str, guard: str, margin: float) -> bool:
    found = _gain(runs, setting, default, guard)
    return found is not None and found.mean >= -margin
