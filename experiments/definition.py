"""An experiment: which systems are trained from which seeds, and how they are scored.

Every choice stands in one YAML file; `experiments/minibank.yaml` explains each key.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import yaml

from speechbrain_mal.metrics.registry import METRICS, check_metrics

NOISY = "noisy"  # the unprocessed input, shown as a system


@dataclass(frozen=True)
class System:
    """A system of an experiment.

    Attributes
    ----------
    name : str
        Of its results.
    recipe : str
        Its flags of the recipe, by their name in `experiments/systems.yaml`.
    overrides : dict
        Settings that differ from these and the experiment's.
    needs : str, optional
        Setting without which it can't be trained, such as `wavlm_source`.
    when_named : bool
        Whether it runs only where `--only` names it.
    """

    name: str
    recipe: str
    overrides: dict[str, Any] = field(default_factory=dict)
    needs: str | None = None
    when_named: bool = False


@dataclass(frozen=True)
class Experiment:
    """What an experiment's YAML says.

    Attributes
    ----------
    recipe : str
        Folder of the recipe.
    seeds : list of int
        One baseline each, and every system from it.
    baseline, control : str
        Systems: what all start from, and what all are compared with.
    settings, phase_one, phase_two : dict
        The recipe's settings: of every run, of the baseline, of all others.
    systems : dict of str to System
        The baseline first.
    sets : dict of str to dict
        What is enhanced and scored: `noisy` and `clean`, folders in the data folder, or
        `manifest`, a file in the run's folder; `enhanced`, where the recipe's own test
        left its clips, or `epoch`, "best" or "last", instead of that which it took.
    metrics : list of str
        Names out of `METRICS`.
    metric_options : dict of str to dict
        Further arguments of metrics.
    self_consistency : dict
        `systems`, `set`, `clips`, `passes` and `metrics` of that experiment, and
        `keep_level`, whether each pass gets the level of its input; empty for none.
    """

    recipe: str
    seeds: list[int]
    baseline: str
    control: str
    settings: dict[str, Any]
    phase_one: dict[str, Any]
    phase_two: dict[str, Any]
    systems: dict[str, System]
    sets: dict[str, dict[str, str]]
    metrics: list[str]
    metric_options: dict[str, dict] = field(default_factory=dict)
    self_consistency: dict[str, Any] = field(default_factory=dict)

    def overrides(self, system: System, seed: int) -> dict[str, Any]:
        """Return the recipe's settings of one run, but for folders."""
        phase = self.phase_one if system.name == self.baseline else self.phase_two
        return {**self.settings, **phase, **system.overrides, "seed": seed}

    def portable_options(self) -> dict[str, dict]:
        """Return the metrics' options but for where files are on this machine."""
        return {
            name: {k: v for k, v in options.items() if k != METRICS[name].file}
            for name, options in self.metric_options.items()
            if set(options) - {METRICS[name].file}
        }


def read_experiment(path: str | os.PathLike) -> Experiment:
    """Read an experiment's YAML.

    Raises
    ------
    ValueError
        When a key is missing or unknown, the baseline or the control is no system, or
        a metric is none.
    """
    with open(path, encoding="utf-8") as file:
        content = yaml.safe_load(file) or {}
    names = [entry.name for entry in fields(Experiment)]
    optional = {"metric_options", "self_consistency"}
    _check(path, content, names, optional)
    content["systems"] = {
        name: _system(path, name, entry or {})
        for name, entry in content["systems"].items()
    }
    experiment = Experiment(**content)
    for key in ("baseline", "control"):
        if getattr(experiment, key) not in experiment.systems:
            raise ValueError(
                f"{path}: {key} is {getattr(experiment, key)!r}, none of systems: "
                f"{', '.join(experiment.systems)}."
            )
    for name, entry in experiment.sets.items():
        keys = ["noisy", "clean", "manifest", "enhanced", "epoch"]
        _check(path, entry, keys, set(keys), f"sets: {name}: ")
        if entry.get("epoch", "best") not in ("best", "last"):
            raise ValueError(
                f'{path}: sets: {name}: epoch is {entry["epoch"]!r}; it is "best" or '
                '"last".'
            )
    check_metrics(experiment.metrics, experiment.metric_options)
    if experiment.self_consistency:
        keys = ["systems", "set", "clips", "passes", "metrics", "keep_level"]
        optional = {"keep_level"}
        _check(path, experiment.self_consistency, keys, optional, "self_consistency: ")
        check_metrics(experiment.self_consistency["metrics"])
    return experiment


def _system(path: str | os.PathLike, name: str, entry: Mapping[str, Any]) -> System:
    keys = ["recipe", "overrides", "needs", "when_named"]
    _check(path, entry, keys, set(keys), f"systems: {name}: ")
    return System(name, **{"recipe": name, **entry})


def _check(
    path: str | os.PathLike,
    content: Mapping[str, Any],
    keys: Sequence[str],
    optional: set[str],
    place: str = "",
) -> None:
    missing = [key for key in keys if key not in content and key not in optional]
    unknown = [key for key in content if key not in keys]
    for problem, found in (("lacks", missing), ("has unknown", unknown)):
        if found:
            raise ValueError(
                f"{path}: {place}{problem} {', '.join(map(str, found))}; the keys are "
                f"{', '.join(keys)}."
            )


def chosen(
    experiment: Experiment, only: Sequence[str], given: Mapping[str, Any]
) -> tuple[list[System], list[int], dict[str, str]]:
    """Return what of an experiment to do.

    Arguments
    ---------
    experiment : Experiment
        The experiment.
    only : sequence of str
        Seeds and systems; without one of a kind, all of that kind.
    given : mapping
        What systems may need, by setting; None where it is not given.

    Returns
    -------
    list of System, list of int
        Systems and seeds.
    dict of str to str
        Systems that are left out though nobody said so, and why.

    Raises
    ------
    ValueError
        When something named is neither, or lacks what it needs.
    """
    seeds = [int(word) for word in only if word.isdigit()]
    names = [word for word in only if not word.isdigit()]
    for word in only:
        if word not in experiment.systems and word not in map(str, experiment.seeds):
            raise ValueError(
                f"--only {word}: it is neither one of the seeds {experiment.seeds} nor "
                f"a system ({', '.join(experiment.systems)}) of the experiment."
            )
    systems, skipped = [], {}
    for system in experiment.systems.values():
        lacks = system.needs and not given.get(system.needs)
        if names and system.name not in names:
            continue
        if lacks and names:
            raise ValueError(f"{system.name} needs --{system.needs}.")
        if lacks:
            skipped[system.name] = f"needs --{system.needs}"
        elif system.when_named and not names:
            skipped[system.name] = "only when --only names it"
        else:
            systems.append(system)
    return systems, seeds or experiment.seeds, skipped
