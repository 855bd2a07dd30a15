"""Run an experiment: train its systems, enhance, score, iterate; what is left of it.

> python -m experiments.run --data_folder minibank --plan
> python -m experiments.run --data_folder minibank --only 1234 testset oodset

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

from experiments.definition import choose, read_experiment
from experiments.machine import Machine
from experiments.plan import experiment_steps
from experiments.steps import plan, run_steps
from speechbrain_mal.cli.scoring import metric_options
from speechbrain_mal.metrics.registry import METRICS, check_metrics, versions

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("experiment", type=Path, nargs="?", default=HERE / "minibank.yaml")
    add("--data_folder", type=Path, required=True)
    add("--output", type=Path, default=Path("results"), help="of runs and clips")
    scores = HERE / "scores" / "first"
    add("--scores", type=Path, default=scores, help="folder of scores and records")
    add("--plan", action="store_true", help="print the plan and stop")
    add("--only", nargs="+", default=[], metavar="SEED|SYSTEM|SET", help="no others")
    add("--jobs", type=int, default=1, help="processes that enhance and score (1)")
    add("--device", help="default: cuda where there is one, or cpu")
    add("--network_source", help="folder or hub id, for wavlm systems")
    option = {"default": [], "metavar": "METRIC.NAME=VALUE"}
    add("--option", action="append", help="nisqa.weights=nisqa.tar, say", **option)
    return parser.parse_args()


def commit() -> str:
    """Return the project's commit, with a + behind it where files differ from it."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
    if head.returncode:
        return "unknown"
    changed = [*git, "diff", "--quiet", "HEAD", "--", ":!experiments/scores"]
    return head.stdout.strip() + "+" * subprocess.run(changed).returncode


def machine_of(options: argparse.Namespace) -> Machine:
    """Return what the command line says of the machine, paths absolute."""
    given = {"network_source": options.network_source} if options.network_source else {}
    further = metric_options(options.option)
    for name, values in further.items():
        key = METRICS[name].file
        if key in values:
            values[key] = given[f"{name}_{key}"] = str(Path(values[key]).resolve())
    folders = (options.data_folder, options.output, options.scores)
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    paths = (path.resolve() for path in folders)
    return Machine(ROOT, *paths, device, options.jobs, given, further)


def main() -> int:
    """Print the plan, then carry it out."""
    options = arguments()
    try:
        experiment = read_experiment(options.experiment)
        choice = choose(experiment, options.only, vars(options))
        scored = [name for key in choice.sets for name in experiment.sets[key].metrics]
        check_metrics(scored, metric_options(options.option))
        machine = machine_of(options)
        if not options.data_folder.is_dir():
            raise ValueError(f"--data_folder {options.data_folder} is not a folder.")
    except (ValueError, OSError) as error:
        print(f"experiments.run: {error}", file=sys.stderr)
        return 2
    steps = experiment_steps(experiment, machine, choice)
    print(plan(steps, machine.scores / "records"))
    for name, reason in choice.left_out.items():
        print(f"      left out  {name}: {reason}")
    if options.plan:
        return 0
    packages = {name: metadata.version(name) for name in ("torch", "speechbrain")}
    facts = {
        "device": machine.device,
        "commit": commit(),
        "versions": {**versions(experiment.metrics()), **packages},
    }
    rest = run_steps(steps, lambda line: print(line, flush=True), **facts)
    done = sum(step.is_done() for step in steps)
    print(f"{done} of {len(steps)} steps are done.")
    for kind, found in rest._asdict().items():
        for name, reason in found.items():
            print(f"{kind}: {name}: {reason}", file=sys.stderr)
    return 1 if rest.failed else 3 if rest.left else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("Stopped: the same command goes on where it was.", file=sys.stderr)
        sys.exit(130)
