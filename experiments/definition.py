"""An experiment: which systems are trained from which seeds, and how they are scored.

Every choice stands in YAML: `minibank.yaml` explains its keys, and `systems.yaml` has
each system's flags of the recipe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from speechbrain_mal.metrics.registry import check_metrics, columns

NOISY = "noisy"  # the unprocessed input, shown as a system
_Entry = TypeVar("_Entry")


@dataclass(frozen=True)
class ScoredSet:
    """Clips that are enhanced and scored; `minibank.yaml` explains the attributes."""

    systems: list[str]
    metrics: list[str]
    noisy: str | None = None
    clean: str | None = None
    manifest: str | None = None
    enhanced: str | None = None
    epoch: str | None = None
    every: int | None = None

    def source(self) -> dict[str, Any]:
        """Return where the clips come from, without what is not set."""
        names = ("noisy", "clean", "manifest", "enhanced", "epoch", "every")
        return {n: getattr(self, n) for n in names if getattr(self, n) is not None}


@dataclass(frozen=True)
class SelfConsistency:
    """How systems are fed their own output; `minibank.yaml` explains the attributes."""

    systems: list[str]
    set: str
    clips: int
    passes: int
    metrics: list[str]
    keep_level: bool = False


@dataclass(frozen=True)
class Experiment:
    """What an experiment's YAML says; `minibank.yaml` explains the attributes.

    `systems` are the flags of each by its name; of those in `remix` there are none.
    """

    recipe: str
    systems: dict[str, dict[str, Any]]
    seeds: list[int]
    baseline: str
    control: str
    settings: dict[str, Any]
    phase_one: dict[str, Any]
    phase_two: dict[str, Any]
    sets: dict[str, ScoredSet]
    needs: dict[str, str] = field(default_factory=dict)
    when_named: list[str] = field(default_factory=list)
    remix: dict[str, float] = field(default_factory=dict)
    other_seed: dict[int, int] = field(default_factory=dict)
    endpoint: dict[str, list[str]] = field(default_factory=dict)
    self_consistency: SelfConsistency | None = None

    def flags(self, system: str, seed: int) -> dict[str, Any]:
        """Return the recipe's settings of one run, but for this machine's folders.

        `SEED` and `OTHER` in a text stand for this seed and for another one.
        """
        phase = self.phase_one if system == self.baseline else self.phase_two
        own = self.systems[system]
        flags = {"system": system, **self.settings, **phase, **own, "seed": seed}
        for word, number in (("SEED", seed), ("OTHER", self.other_seed.get(seed))):
            for key, value in flags.items():
                if isinstance(value, str):
                    flags[key] = value.replace(word, str(number))
        return flags

    def baselines(self, system: str, seed: int) -> list[int]:
        """Return the seeds of the baselines that a system's training needs."""
        if system == self.baseline:
            return []
        texts = [x for x in self.systems[system].values() if isinstance(x, str)]
        other = [self.other_seed[seed]] if any("OTHER" in x for x in texts) else []
        return [seed, *other]

    def judged(self) -> list[str]:
        """Return the sets that have all scores of the endpoint."""
        ends = {column for kind in self.endpoint.values() for column in kind}
        return [n for n, s in self.sets.items() if ends <= set(columns(s.metrics))]

    def metrics(self) -> list[str]:
        """Return the metrics of all sets."""
        return list(dict.fromkeys(m for s in self.sets.values() for m in s.metrics))


def read_experiment(path: str | Path) -> Experiment:
    """Read an experiment's YAML, and the one that says what its systems are.

    Raises
    ------
    ValueError
        When a key is missing or unknown, something names no system, a metric is none,
        or an epoch is neither "best" nor "last".
    """
    path = Path(path)
    content = _read(path)
    table, systems = path, content.get("systems")
    if isinstance(systems, str):
        table = path.parent / systems
        systems = _read(table)
    content["systems"] = (systems or {}) | {
        name: {} for name in content.get("remix", {})
    }
    content["sets"] = {
        name: _entry(ScoredSet, f"{path}: sets: {name}", entry)
        for name, entry in content.get("sets", {}).items()
    }
    passes = content.get("self_consistency")
    if passes:
        passes = _entry(SelfConsistency, f"{path}: self_consistency", passes)
        content["self_consistency"] = passes
    experiment = _entry(Experiment, str(path), content)
    scored = {**experiment.sets, **({"self_consistency": passes} if passes else {})}
    named = {
        "baseline": [experiment.baseline],
        "control": [experiment.control],
        "needs": experiment.needs,
        "when_named": experiment.when_named,
        **{name: entry.systems for name, entry in scored.items()},
    }
    for place, names in named.items():
        for name in names:
            if name not in experiment.systems:
                raise ValueError(f"{path}: {place}: {name!r} is no system of {table}.")
    for name, entry in scored.items():
        check_metrics(entry.metrics)
        epoch = getattr(entry, "epoch", None)
        if epoch not in (None, "best", "last"):
            raise ValueError(
                f'{path}: sets: {name}: epoch is "best" or "last", not {epoch!r}.'
            )
    return experiment


def _read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def _entry(kind: type[_Entry], place: str, content: Mapping[str, Any]) -> _Entry:
    try:
        return kind(**content)
    except TypeError as error:  # a key is missing or unknown, which it names
        keys = ", ".join(f.name for f in fields(kind))
        raise ValueError(f"{place}: {error}; the keys are {keys}.") from None


@dataclass(frozen=True)
class Choice:
    """What of an experiment to do, and what is left out though nobody said so."""

    systems: list[str]
    seeds: list[int]
    sets: list[str]
    left_out: dict[str, str]


def choose(
    experiment: Experiment, only: Sequence[str], given: Mapping[str, Any]
) -> Choice:
    """Return what to do; of seeds, systems and sets that none is named of, all.

    Raises
    ------
    ValueError
        When something named is none of these, or lacks what it needs.
    """
    seeds = [str(seed) for seed in experiment.seeds]
    kinds = {
        "seeds": seeds,
        "sets": list(experiment.sets),
        "systems": list(experiment.systems),
    }
    for word in only:
        if not any(word in known for known in kinds.values()):
            known = "; ".join(f"{k}: {', '.join(words)}" for k, words in kinds.items())
            raise ValueError(f"--only {word} names none of the {known}.")
    sets = [name for name in experiment.sets if name in only] or kinds["sets"]
    named = [word for word in only if word in experiment.systems]
    wanted = {name for key in sets for name in experiment.sets[key].systems}
    systems, left_out = [], {}
    for system in experiment.systems:
        need = experiment.needs.get(system)
        lacks = need and not given.get(need)
        if system not in (named or wanted):
            continue
        if lacks and named:
            raise ValueError(f"{system} needs --{need}.")
        if lacks:
            left_out[system] = f"needs --{need}"
        elif system in experiment.when_named and not named:
            left_out[system] = "only when --only names it"
        else:
            systems.append(system)
    chosen = [int(seed) for seed in seeds if seed in only] or experiment.seeds
    return Choice(systems, chosen, sets, left_out)
