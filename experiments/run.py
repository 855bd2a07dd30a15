"""Run an experiment: train its systems, enhance, score, iterate; what is left of it.

> python -m experiments.run experiments/minibank.yaml --data_folder minibank --plan
> python -m experiments.run experiments/minibank.yaml --data_folder minibank

Stopped anywhere, the same command goes on. Several may run at once: each step is done
by one of them. Exit status: 0 when all is done, 1 when a step failed, 2 for wrong
arguments, 3 when what is left waits for another process.
"""

import argparse
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import torch

from experiments.definition import chosen, read_experiment
from experiments.paths import RunPaths
from experiments.plan import experiment_steps
from experiments.steps import plan, run_steps
from speechbrain_mal.cli.scoring import metric_options
from speechbrain_mal.metrics.registry import METRICS, versions

ROOT = Path(__file__).resolve().parent.parent


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("experiment", type=Path, help="YAML file")
    parser.add_argument("--data_folder", type=Path, required=True)
    parser.add_argument(
        "--output", type=Path, default=Path("results"), help="of runs and clips"
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=ROOT / "experiments" / "scores" / "first",
        help="of scores and records (default: experiments/scores/first)",
    )
    parser.add_argument("--plan", action="store_true", help="print the plan and stop")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="SEED|SYSTEM", help="do no others"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, help="processes that enhance and score (1)"
    )
    parser.add_argument("--device", help="default: cuda where there is one, or cpu")
    parser.add_argument("--wavlm_source", help="folder or hub id, for wavlm systems")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="METRIC.NAME=VALUE",
        help="of a metric, such as nisqa.weights=nisqa.tar; may be repeated",
    )
    return parser.parse_args()


def commit() -> str:
    """Return the project's commit, with a + behind it where files differ from it."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
    if head.returncode:
        return "unknown"
    changed = [*git, "diff", "--quiet", "HEAD", "--", ":!experiments/scores"]
    return head.stdout.strip() + "+" * subprocess.run(changed).returncode


def main() -> int:
    """Print the plan, then carry it out."""
    options = arguments()
    try:
        experiment = read_experiment(options.experiment)
        further = metric_options(options.option)
        given = {"wavlm_source": options.wavlm_source}
        systems, seeds, skipped = chosen(experiment, options.only, given)
        if not options.data_folder.is_dir():
            raise ValueError(f"--data_folder {options.data_folder} is not a folder.")
    except (ValueError, OSError) as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    given = {key: value for key, value in given.items() if value}
    for name, values in further.items():
        if METRICS[name].file in values:
            path = str(Path(values[METRICS[name].file]).resolve())
            given[f"{name}_{METRICS[name].file}"] = path
            values[METRICS[name].file] = path
        experiment.metric_options.setdefault(name, {}).update(values)
    place = RunPaths(
        root=ROOT,
        data_folder=options.data_folder.resolve(),
        output=options.output.resolve(),
        results=options.results.resolve(),
        device=options.device or ("cuda" if torch.cuda.is_available() else "cpu"),
        jobs=options.jobs,
        given=given,
    )
    steps = experiment_steps(experiment, place, systems, seeds)
    print(plan(steps, place.results / "records"))
    for name, reason in skipped.items():
        print(f"      left out  {name}: {reason}")
    if options.plan:
        return 0
    outcome = run_steps(
        steps,
        lambda line: print(line, flush=True),
        device=place.device,
        commit=commit(),
        versions={
            **versions(experiment.metrics),
            **{name: metadata.version(name) for name in ("torch", "speechbrain")},
        },
    )
    print(f"{len(outcome.done)} of {len(steps)} steps are done.")
    for name, reason in {**outcome.failed, **outcome.left}.items():
        kind = "failed" if name in outcome.failed else "left"
        print(f"{kind}: {name}: {reason}", file=sys.stderr)
    if outcome.failed:
        return 1
    return 3 if outcome.left else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("Stopped: the same command goes on where it was.", file=sys.stderr)
        sys.exit(130)
