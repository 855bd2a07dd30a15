"""The steps of an experiment: train by the recipe, enhance and score, iterate.

By system and seed, `train` runs the recipe, `score_<set>` enhances a set and scores it
clip by clip, `self_consistency` feeds the enhancer its own output. What is large (runs,
clips) goes to the output folder, what is small (scores, records) to the results folder:

    <output>/<system>/<seed>/                       the recipe's run
    <results>/<set>/<system>/<seed>.csv             a row a clip
    <results>/self_consistency/<system>/<seed>.csv  a row a pass
    <results>/records/<system>/<seed>/<step>.json   how each was made
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from experiments.definition import NOISY, Experiment, System
from experiments.paths import RunPaths
from experiments.scoring import iterate, score
from experiments.steps import Step
from experiments.training import train


def experiment_steps(
    experiment: Experiment,
    place: RunPaths,
    systems: Sequence[System],
    seeds: Sequence[int],
) -> list[Step]:
    """Return the steps, each behind those it needs: seed by seed, the baseline first.

    Arguments
    ---------
    experiment : Experiment
        The experiment.
    place : RunPaths
        Where it is done.
    systems : sequence of System
        Those to be scored; the baseline is trained where they start from it.
    seeds : sequence of int
        Those to be done.
    """
    steps = []
    for seed in seeds:
        first = experiment.systems[experiment.baseline]
        baseline = _train(experiment, place, first, seed, ())
        steps.append(baseline)
        if seed == seeds[0]:
            steps += [
                _score(experiment, place, NOISY, "input", name, baseline)
                for name in experiment.sets
            ]
        for system in systems:
            trained = baseline
            if system.name != first.name:
                trained = _train(experiment, place, system, seed, (baseline,))
                steps.append(trained)
            steps += [
                _score(experiment, place, system.name, seed, name, trained)
                for name in experiment.sets
            ]
            if system.name in experiment.self_consistency.get("systems", []):
                steps.append(_iterate(experiment, place, system.name, seed, trained))
    return steps


def _step(
    place: RunPaths, system: str, seed: int | str, work: str, kinds: Sequence[str]
) -> dict[str, Any]:
    """Return the attributes that steps have in common."""
    return {
        "name": f"{system}/{seed}/{work}",
        "kinds": (f"{work} {system}", *kinds),
        "record": place.results / "records" / system / str(seed) / f"{work}.json",
        "lock": place.output / ".steps" / system / f"{seed}.{work}.lock",
    }


def _train(
    experiment: Experiment,
    place: RunPaths,
    system: System,
    seed: int,
    needs: tuple[Step, ...],
) -> Step:
    folder = place.run(system.name, seed)
    overrides = experiment.overrides(system, seed)
    return Step(
        **_step(place, system.name, seed, "train", [f"train as {system.recipe}"]),
        settings={"recipe": system.recipe, "overrides": overrides},
        products=(folder / "save",),
        needs=needs,
        run=partial(train, experiment, place, system, seed, needs),
    )


def _score(
    experiment: Experiment,
    place: RunPaths,
    system: str,
    seed: int | str,
    name: str,
    trained: Step,
) -> Step:
    product = place.results / name / system / f"{seed}.csv"
    # The noisy input is no run's; only a manifest of it is.
    needs = (trained,) if system != NOISY or "manifest" in experiment.sets[name] else ()
    return Step(
        **_step(place, system, seed, f"score_{name}", [f"score_{name}"]),
        settings={
            "set": experiment.sets[name],
            "metrics": experiment.metrics,
            "options": experiment.portable_options(),
        },
        products=(product,),
        needs=needs,
        run=partial(
            score,
            experiment,
            place,
            system,
            place.output / Path(trained.name).parent,
            name,
            product,
        ),
    )


def _iterate(
    experiment: Experiment, place: RunPaths, system: str, seed: int, trained: Step
) -> Step:
    product = place.results / "self_consistency" / system / f"{seed}.csv"
    work = "self_consistency"
    what = {k: v for k, v in experiment.self_consistency.items() if k != "systems"}
    what["options"] = experiment.portable_options()
    return Step(
        **_step(place, system, seed, work, [work]),
        settings=what,
        products=(product,),
        needs=(trained,),
        run=partial(
            iterate, experiment, place, system, place.run(system, seed), product
        ),
    )
