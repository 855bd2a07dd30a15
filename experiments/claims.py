"""Claims about systems, and numeric rules that say what became of them.

A claim names systems, a score and a rule. Its verdict follows from the scores alone:

* `better`: the system's mean is better than the other's, its difference has that sign
  in every seed, and p < 0.05 (Wilcoxon over clips, by Holm over all tests of claims);
* `not_worse`: the interval over clips of what the system is better by lies above
  -margin, and so does every seed's mean;
* `unmoved`: interval and every seed's mean lie within +-margin;
* `as_large`: `better`, and the interval over clips reaches the paper's size;
* `everywhere`: `better` on the second set, by no less than on the first minus margin,
  where it is positive, too;
* `starts`, `peaks`, `settles`: fed its own output the system is better than the other
  in every seed: after one pass; each at its best pass; at the last pass that lost no
  clip of either;
* `degrades`: in every seed the system's score is best neither before the first pass
  nor at the last that lost no clip.

All need at least two seeds: with fewer, or without the scores, a claim is not testable.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.curves import Curves, whole_passes
from experiments.seeds import Difference, Runs, correct, difference
from speechbrain_mal.metrics.registry import LOWER_IS_BETTER

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
NOT_TESTABLE = "not testable here"
LEAST_SEEDS = 2
_PASSES = ("starts", "peaks", "settles", "degrades")
_SCORES = ("better", "not_worse", "unmoved", "as_large", "everywhere")


@dataclass(frozen=True)
class Claim:
    """What is claimed of a system.

    Attributes
    ----------
    text : str
        In words.
    rule : str
        One of those above.
    system, against : str
        What is compared with what; `degrades` compares with nothing.
    column : str
        The score.
    set : str
        Where; `self_consistency` rules don't take one.
    other_set : str
        Second set of `everywhere`.
    margin : float
        Of the rules that have one, in the score's unit.
    size : float
        The paper's difference, better is positive; `as_large` needs it.
    paper : str
        Its numbers, to be shown.
    """

    text: str
    rule: str
    system: str
    column: str
    against: str = ""
    set: str = ""
    other_set: str = ""
    margin: float = 0.0
    size: float = 0.0
    paper: str = ""

    def __post_init__(self):
        if self.rule not in _SCORES + _PASSES:
            raise ValueError(
                f"claim {self.text!r}: no rule {self.rule!r}, but "
                f"{', '.join(_SCORES + _PASSES)}."
            )


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Attributes
    ----------
    claim : Claim
        The claim.
    verdict : str
        One of the three words above.
    reason : str
        Its numbers.
    opposite : bool
        Whether the other system is `better` by the same rule.
    share : float, optional
        The difference, over the paper's size where the claim has one.
    """

    claim: Claim
    verdict: str
    reason: str
    opposite: bool = False
    share: float | None = None

    @property
    def percent(self) -> str:
        """The share in words, empty where there is none."""
        return "" if self.share is None else f"{100 * self.share:.0f} %"


def judge(
    claims: Sequence[Claim], sets: Mapping[str, Runs], curves: Curves
) -> list[Verdict]:
    """Apply every claim's rule.

    Arguments
    ---------
    claims : sequence of Claim
        The claims; their tests are corrected together.
    sets : mapping of str to dict
        Scores by set, system and seed.
    curves : dict
        Rows a pass by system and seed, as `read_curves` returns them.

    Returns
    -------
    list of Verdict
        In the same order.
    """
    found: dict[tuple, Difference | None] = {}
    for claim in claims:
        if claim.rule in _SCORES:
            for name in filter(None, (claim.set, claim.other_set)):
                found[_key(claim, name)] = _gain(claim, sets.get(name, {}))
    correct([entry for entry in found.values() if entry is not None])
    return [
        _on_passes(claim, curves)
        if claim.rule in _PASSES
        else _on_scores(
            claim,
            found[_key(claim, claim.set)],
            found.get(_key(claim, claim.other_set)),
        )
        for claim in claims
    ]


def _key(claim: Claim, name: str) -> tuple:
    return claim.system, claim.against, claim.column, name


def _gain(claim: Claim, runs: Runs) -> Difference | None:
    """Return what the system is better by: positive where it is."""
    pair = runs.get(claim.system, {}), runs.get(claim.against, {})
    if claim.column in LOWER_IS_BETTER:
        pair = pair[::-1]
    return difference(*pair, claim.column)


def describe(gain: Difference) -> str:
    """Return a difference in numbers."""
    low, high = gain.over_clips
    p = "p < 0.001" if gain.p < 0.001 else f"p = {gain.p:.3f}"
    return (
        f"{gain.mean:+.3f} [{low:+.3f}, {high:+.3f}], {p}, "
        f"{gain.same_sign()} of {gain.seeds} seeds"
    )


def is_better(gain: Difference) -> bool:
    """Return whether `better` holds of a difference whose positive sign is good."""
    return gain.mean > 0 and _is_clear(gain)


def _is_clear(gain: Difference) -> bool:
    return gain.same_sign() == gain.seeds and gain.p < 0.05


def _within(gain: Difference, low: float, high: float) -> bool:
    ends = [*gain.over_clips, *gain.by_seed.values()]
    return all(low <= value <= high for value in ends)


def _on_scores(
    claim: Claim, gain: Difference | None, other: Difference | None
) -> Verdict:
    wanted = [gain, other] if claim.rule == "everywhere" else [gain]
    if any(entry is None for entry in wanted):
        return Verdict(claim, NOT_TESTABLE, "no scores of both systems")
    if min(entry.seeds for entry in wanted) < LEAST_SEEDS:
        return Verdict(
            claim, NOT_TESTABLE, f"{gain.seeds} seed, {LEAST_SEEDS} are needed"
        )
    reason = describe(gain)
    if claim.rule == "better":
        holds = is_better(gain)
    elif claim.rule == "not_worse":
        holds = _within(gain, -claim.margin, math.inf)
    elif claim.rule == "unmoved":
        holds = _within(gain, -claim.margin, claim.margin)
    elif claim.rule == "as_large":
        holds = is_better(gain) and gain.over_clips[1] >= claim.size
    else:
        close = other.mean >= gain.mean - claim.margin
        holds = gain.mean > 0 and is_better(other) and close
        reason = f"{claim.other_set} {describe(other)}; {claim.set} {gain.mean:+.3f}"
    word = REPRODUCED if holds else NOT_REPRODUCED
    opposite = gain.mean < 0 and _is_clear(gain)
    share = wanted[-1].mean / claim.size if claim.size else None
    return Verdict(claim, word, reason, opposite, share)


def _on_passes(claim: Claim, curves: Curves) -> Verdict:
    own, others = curves.get(claim.system, {}), curves.get(claim.against, {})
    degrades = claim.rule == "degrades"
    seeds = sorted(own if degrades else set(own) & set(others))
    sign = -1 if claim.column in LOWER_IS_BETTER else 1
    holds, notes = [], []
    for seed in seeds:
        one = _values(own[seed], claim.column, sign)
        if degrades:
            if 0 not in one or len(one) < 3:
                continue
            best = max(one, key=one.get)
            holds.append(best not in (0, max(one)))
            notes.append(f"best at pass {best} of {max(one)}")
            continue
        two = _values(others[seed], claim.column, sign)
        both = sorted(set(one) & set(two) - {0})
        if not both or 1 not in both:
            continue
        if claim.rule == "peaks":
            ahead = max(one.values()) - max(two.values())
        else:
            number = both[0] if claim.rule == "starts" else both[-1]
            ahead = one[number] - two[number]
        holds.append(ahead > 0)
        place = f" at pass {both[-1]}" if claim.rule == "settles" else ""
        notes.append(f"{ahead:+.3f}{place}")
    if len(holds) < LEAST_SEEDS:
        return Verdict(
            claim,
            NOT_TESTABLE,
            f"passes of {len(holds)} seeds, {LEAST_SEEDS} are needed",
        )
    word = REPRODUCED if all(holds) else NOT_REPRODUCED
    return Verdict(claim, word, f"by seed: {', '.join(notes)}")


def _values(
    curve: Sequence[Mapping[str, float]], column: str, sign: int
) -> dict[int, float]:
    return {
        number: sign * row[column]
        for number, row in whole_passes(curve).items()
        if math.isfinite(row.get(column, math.nan))
    }
