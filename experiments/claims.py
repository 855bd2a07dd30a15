"""Claims about systems, and numeric rules that say what the scores make of them.

A claim names systems, a score and a rule. Each rule has a least effect that counts
(`minimum`), so that what is clear and too small to matter is not called a difference:

* `better`: the system's mean is better by the minimum or more, it is better in every
  training, and p < 0.05 (over clips, clustered; Holm over all claims of the table).
  What is shown is the sign, not the size;
* `as_large`: `better`, and the lower ends of both intervals, over clips and over
  trainings, lie above the paper's size minus the minimum;
* `not_worse`: the lower end of the interval over clips, and every training's mean, lie
  above minus the minimum;
* `unmoved`: that interval and every training's mean lie within plus and minus the
  minimum;
* `starts`, `peaks`, `settles`: fed its own output, the system is better by the minimum
  or more in every seed: after one pass; each at its best pass; at the last pass that
  lost no clip of either;
* `rises_then_falls`: in every seed the score at the best pass is better by the minimum
  or more than before the first pass, and than at the last that lost no clip.

All need at least two trainings: with fewer, or without the scores, nothing is said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from experiments.gains import Gain, Scores, correct
from speechbrain_mal.metrics.registry import LOWER_IS_BETTER

NOT_SHOWN, OPPOSITE, NO_SCORES = "not shown", "opposite sign", "no scores"
HOLDS = {
    "better": "same sign",
    "as_large": "as large",
    "not_worse": "no worse",
    "unmoved": "unmoved",
    "starts": "same sign",
    "peaks": "same sign",
    "settles": "same sign",
    "rises_then_falls": "same course",
}
_PASSES = ("starts", "peaks", "settles", "rises_then_falls")


@dataclass(frozen=True)
class Claim:
    """What is claimed of a system in a score of a set, by one of the rules above."""

    text: str
    rule: str
    system: str
    column: str
    against: str = ""
    set: str = "testset"
    round: str = "first"
    size: float = 0.0  # the paper's gain, better is positive
    paper: str = ""  # its numbers, to be shown

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """Which gain it is about, as `Scores.gain` takes it."""
        return self.round, self.set, self.system, self.against, self.column

    def __post_init__(self):
        if self.rule not in HOLDS:
            raise ValueError(
                f"claim {self.text!r}: no rule {self.rule!r}, but {', '.join(HOLDS)}."
            )


@dataclass(frozen=True)
class Verdict:
    """What became of a claim: the word, its numbers, and the gain if it is of one."""

    claim: Claim
    word: str
    reason: str
    gain: Gain | None = None


def judge(
    claims: Sequence[Claim], scores: Scores, minimum: Mapping[str, float]
) -> list[Verdict]:
    """Apply every claim's rule; p values are corrected over all of these claims."""
    on_clips = {claim.key for claim in claims if claim.rule not in _PASSES}
    gains = {key: scores.gain(*key) for key in sorted(on_clips)}
    correct([gain for gain in gains.values() if gain])
    return [
        _on_passes(claim, scores.curves, minimum[claim.column])
        if claim.rule in _PASSES
        else _on_clips(claim, gains[claim.key], minimum[claim.column])
        for claim in claims
    ]


def describe(gain: Gain) -> str:
    """Return a gain in numbers, with its interval over clips."""
    low, high = gain.over_clips
    p = "p < 0.001" if gain.p < 0.001 else f"p = {gain.p:.3f}"
    alike = sum(value * gain.mean > 0 for value in gain.by_training.values())
    return (
        f"{gain.mean:+.3f} [{low:+.3f}, {high:+.3f}], {p}, "
        f"{alike} of {len(gain.by_training)} seeds"
    )


def is_better(gain: Gain, least: float, sign: int = 1) -> bool:
    """Return whether `better` holds of a gain, or with sign -1 of the opposite one."""
    return sign * gain.mean >= least and gain.all_of_sign(sign) and gain.p < 0.05


def is_no_worse(gain: Gain, least: float) -> bool:
    """Return whether `not_worse` holds of a gain."""
    return min(gain.over_clips[0], *gain.by_training.values()) > -least


def _on_clips(claim: Claim, gain: Gain | None, least: float) -> Verdict:
    if gain is None or len(gain.by_training) < 2:
        return Verdict(claim, NO_SCORES, "")
    ends = [*gain.over_clips, *gain.by_training.values()]
    if claim.rule == "not_worse":
        holds = is_no_worse(gain, least)
    elif claim.rule == "unmoved":
        holds = max(map(abs, ends)) < least
    else:
        holds = is_better(gain, least)
    if claim.rule == "as_large":
        lowest = min(gain.over_clips[0], gain.over_trainings[0])
        holds = holds and lowest > claim.size - least
    word = HOLDS[claim.rule] if holds else NOT_SHOWN
    if is_better(gain, least, -1) and not holds:
        word = OPPOSITE
    return Verdict(claim, word, describe(gain), gain)


def whole_passes(curve: pd.DataFrame) -> pd.DataFrame:
    """Return the passes, from the first on, that lost no clip."""
    lost = curve["clips"] < curve["clips"].iloc[0]
    return curve[~lost.cummax()]


def _on_passes(claim: Claim, curves: Mapping[str, Mapping], least: float) -> Verdict:
    sign = -1 if claim.column in LOWER_IS_BETTER else 1
    own = {
        system: {
            seed: sign * whole_passes(curve)[claim.column].dropna()
            for seed, curve in curves.get(system, {}).items()
        }
        for system in (claim.system, claim.against or claim.system)
    }
    ours, theirs = own[claim.system], own[claim.against or claim.system]
    seeds = sorted(ours.keys() & theirs.keys())
    if len(seeds) < 2:
        return Verdict(claim, NO_SCORES, "")
    ahead = [_ahead(claim.rule, ours[seed], theirs[seed]) for seed in seeds]
    holds = min(ahead) >= least
    word = HOLDS[claim.rule] if holds else NOT_SHOWN
    if max(ahead) <= -least:
        word = OPPOSITE
    return Verdict(claim, word, "by seed: " + ", ".join(f"{x:+.3f}" for x in ahead))


def _ahead(rule: str, ours: pd.Series, theirs: pd.Series) -> float:
    """Return what is to be no smaller than the minimum."""
    if rule == "rises_then_falls":
        return float(ours.max() - max(ours.iloc[0], ours.iloc[-1]))
    if rule == "peaks":
        return float(ours.drop(0).max() - theirs.drop(0).max())
    passes = ours.index.intersection(theirs.index).drop(0)
    number = passes[0] if rule == "starts" else passes[-1]
    return float(ours[number] - theirs[number])
