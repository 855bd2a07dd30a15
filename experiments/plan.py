"""The steps of an experiment: train by the recipe, enhance and score, iterate.

By system and seed, `train` runs the recipe, `score_<set>` enhances a set and scores it
clip by clip, `self_consistency` feeds the enhancer its own output. What is large (runs,
clips) goes to the output folder, what is small (scores, records) to that of scores:

    <output>/<system>/<seed>/                      the recipe's run
    <scores>/<set>/<system>/<seed>.csv             a row a clip
    <scores>/self_consistency/<system>/<seed>.csv  a row a pass
    <scores>/records/<system>/<seed>/<step>.json   how each was made
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.definition import NOISY, Choice, Experiment
from experiments.machine import Machine
from experiments.scoring import iterate, score
from experiments.steps import Step
from experiments.training import train


@dataclass(frozen=True)
class _Planner:
    experiment: Experiment
    machine: Machine

    def train(self, system: str, seed: int, needs: tuple[Step, ...]) -> Step:
        experiment, machine = self.experiment, self.machine
        folder = machine.run(system, seed)
        return self._step(
            f"{system}/{seed}/train",
            {"flags": experiment.flags(system, seed)},
            (folder / "save",),
            needs,
            lambda lock: train(experiment, machine, system, seed, needs, lock),
        )

    def score(self, name: str, system: str, seed: int | str, trained: Step) -> Step:
        entry = self.experiment.sets[name]
        limit = self.experiment.remix.get(system)
        product = self.machine.scores / name / system / f"{seed}.csv"
        run = self.machine.output / Path(trained.name).parent
        settings = {
            "set": entry.source(),
            "metrics": entry.metrics,
            "options": self.machine.portable_options(),
            **({"atten_lim_db": limit} if limit else {}),
        }
        # The noisy input is no run's; only a manifest of it is.
        needs = (trained,) if system != NOISY or entry.manifest else ()
        return self._step(
            f"{system}/{seed}/score_{name}",
            settings,
            (product,),
            needs,
            lambda lock: score(entry, self.machine, name, system, run, product, limit),
        )

    def iterate(self, system: str, seed: int, trained: Step) -> Step:
        what = self.experiment.self_consistency
        product = self.machine.scores / "self_consistency" / system / f"{seed}.csv"
        run = self.machine.run(system, seed)
        settings = {k: v for k, v in asdict(what).items() if k != "systems"}
        settings["options"] = self.machine.portable_options()
        entry = self.experiment.sets[what.set]
        return self._step(
            f"{system}/{seed}/self_consistency",
            settings,
            (product,),
            (trained,),
            lambda lock: iterate(what, entry, self.machine, system, run, product),
        )

    def _step(
        self,
        name: str,
        settings: dict[str, Any],
        products: tuple[Path, ...],
        needs: tuple[Step, ...],
        run: Callable[[int], dict],
    ) -> Step:
        system, seed, work = name.split("/")
        record = self.machine.scores / "records" / system / seed / f"{work}.json"
        lock = self.machine.output / ".steps" / system / f"{seed}.{work}.lock"
        kinds = (f"{work} {system}", work)
        return Step(name, kinds, record, lock, settings, products, needs, run)


def experiment_steps(
    experiment: Experiment, machine: Machine, choice: Choice
) -> list[Step]:
    """Return the steps, seed by seed, each behind those it needs."""
    planner, steps = _Planner(experiment, machine), []
    passes = experiment.self_consistency
    baselines: dict[int, Step] = {}

    def baseline_of(seed: int) -> Step:
        if seed not in baselines:
            baselines[seed] = planner.train(experiment.baseline, seed, ())
            steps.append(baselines[seed])
        return baselines[seed]

    for seed in choice.seeds:
        baseline = baseline_of(seed)
        if seed == choice.seeds[0]:
            steps += [planner.score(s, NOISY, "input", baseline) for s in choice.sets]
        for system in choice.systems:
            trained = baseline
            if system != experiment.baseline and system not in experiment.remix:
                needs = tuple(map(baseline_of, experiment.baselines(system, seed)))
                trained = planner.train(system, seed, needs)
                steps.append(trained)
            steps += [
                planner.score(name, system, seed, trained)
                for name in choice.sets
                if system in experiment.sets[name].systems
            ]
            if passes and passes.set in choice.sets and system in passes.systems:
                steps.append(planner.iterate(system, seed, trained))
    return steps
