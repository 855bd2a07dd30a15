"""Write RESULTS.md and its figures from the scores in experiments/scores.

> python -m experiments.report

No training, model or audio is needed; the same scores give the same page.
"""

import argparse
import sys
from pathlib import Path

import yaml

from experiments.definition import read_experiment
from experiments.page import write_results

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Read the settings, write the page, print the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--settings", type=Path, default=HERE / "report.yaml")
    parser.add_argument("--results", type=Path, default=HERE / "scores" / "first")
    parser.add_argument("--rerun", type=Path, default=HERE / "scores" / "rerun")
    parser.add_argument("--output", type=Path, default=HERE.parent / "RESULTS.md")
    parser.add_argument("--figures", type=Path, default=HERE / "figures")
    options = parser.parse_args()
    try:
        settings = yaml.safe_load(options.settings.read_text(encoding="utf-8"))
        folder = options.settings.parent
        experiment = read_experiment(folder / settings["experiment"])
        further = [
            read_experiment(folder / settings[key]["experiment"])
            if key in settings
            else None
            for key in ("sweep", "last_epoch")
        ]
        verdicts = write_results(
            experiment,
            settings,
            options.results,
            options.output,
            options.figures,
            *further,
            options.rerun if "rerun" in settings else None,
        )
    except (ValueError, OSError) as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 1
    for entry in verdicts:
        print(f"{entry.verdict}: {entry.claim.text} ({entry.reason})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
