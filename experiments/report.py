"""Write RESULTS.md, its pictures and gains.csv from the scores in experiments/scores.

> python -m experiments.report

No training, model or audio is needed; the same scores give the same page. Needs
`pip install 'speechbrain-mal[eval,experiments]'`.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from experiments import decisive, tables
from experiments.claims import Claim, is_better, judge
from experiments.claims import __doc__ as rules
from experiments.definition import Experiment, read_experiment
from experiments.gains import ROUNDS, Gain, Scores, correct
from experiments.gains import __doc__ as statistics
from experiments.plots import plot_curves, plot_gains

HERE = Path(__file__).resolve().parent


def filled(text: str, scores: Scores) -> str:
    """Return typed prose with its figures computed.

    `{WHAT ROUND SET SYSTEM AGAINST COLUMN}` is a gain: its `mean`, the mean with the
    interval over `clips` or over `trainings`, or each of the `seeds`;
    `{validation ROUND SYSTEM LOSS}` what each of a system's runs noted.
    """

    def figure(match: re.Match) -> str:
        what, *key = match.group(1).split()
        if what == "validation":
            kind, system, loss = key
            records = training_records(scores.folder / kind, system)
            found = [record["validation"][loss] for record in records]
            return ", ".join(f"{value:.2g}" for value in found) or "(no record)"
        gain = scores.gain(*key)
        if gain is None:
            return "(no scores)"
        if what == "seeds":
            return ", ".join(f"{value:+.3f}" for value in gain.by_training.values())
        if what == "mean":
            return f"{gain.mean:+.3f}"
        return tables.interval(gain.mean, getattr(gain, f"over_{what}"))

    return re.sub(r"\{(\w+(?:\s+[\w.]+)+)\}", figure, text.strip())


def training_records(folder: Path, system: str = "*") -> list[dict[str, Any]]:
    """Return the records of a round's trainings, by system and seed."""
    paths = sorted(folder.glob(f"records/{system}/*/train.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


class Report:
    """RESULTS.md, section by section, and its pictures.

    `settings` are those of `report.yaml`; the page's place is needed for links.
    """

    def __init__(
        self,
        experiment: Experiment,
        settings: dict[str, Any],
        scores: Scores,
        page: Path,
        figures: Path,
    ):
        self.experiment, self.settings, self.scores = experiment, settings, scores
        self.page, self.figures = page, figures
        self.minimum: dict[str, float] = settings["minimum"]
        self.gains = {
            (kind, name, against): found
            for kind in ROUNDS
            for name in settings["sets"]
            for against in (experiment.control, experiment.baseline)
            if (found := self._gains(kind, name, against, settings["columns"]))
        }

    def _gains(
        self, kind: str, name: str, against: str, columns: list[str]
    ) -> tables.Gains:
        """Return a table's gains, p corrected over the table."""
        found = {
            (system, column): gain
            for system in self.experiment.sets[name].systems
            if system != against
            for column in columns
            if (gain := self.scores.gain(kind, name, system, against, column))
        }
        correct(list(found.values()))
        return found

    def _verdicts(self, key: str) -> str:
        claims = [Claim(**entry) for entry in self.settings[key]]
        return tables.verdicts_table(judge(claims, self.scores, self.minimum))

    def text(self) -> str:
        """Return the page, and draw its pictures."""
        self.figures.mkdir(parents=True, exist_ok=True)
        prose = {k: filled(v, self.scores) for k, v in self.settings["prose"].items()}
        scores, settings, control = self.scores, self.settings, self.experiment.control
        last = settings["last_epoch"]
        found = self._gains("first", "testset_last", control, last)
        parts = [
            prose["summary"],
            *self._decisive(prose["decisive"]),
            "## Every system against both controls",
            prose["controls"],
            *self._overviews(),
            "### All trainings together",
            prose["trainings"],
            tables.trainings_table(scores, **settings["trainings"]),
            "## The paper's claims",
            self._verdicts("claims"),
            prose["claims"],
            "## What the controls say",
            self._verdicts("questions"),
            prose["questions"],
            "## How to read this page",
            prose["reading"],
            "### The statistics",
            statistics.split("\n\n", 1)[1].strip(),
            "### The rules",
            rules.split("\n\n", 1)[1].strip(),
            prose["minimum"],
            "## Beside the paper",
            prose["paper"],
            tables.paper_table(settings["paper"], scores, control),
            "## Fed with their own output",
            prose["passes"],
            *self._passes(),
            "## The last epochs instead of the best",
            prose["last_epoch"],
            tables.gains_table(found, last, self.minimum),
            "## Settings of the loss, on the validation speakers",
            prose["sweep"],
            *self._sweep(**settings["sweep"]),
            "## Scores",
            prose["scores"],
            *self._means(),
            "## The trainings",
            prose["runs"],
            "\n".join(map(self._runs, ROUNDS)),
        ]
        return "\n\n".join(parts) + "\n"

    def _decisive(self, prose: str) -> list[str]:
        """Return the other experiment's section, where it has scores."""
        settings = self.settings["decisive"]
        experiment = read_experiment(HERE / settings["experiment"])
        if not self.scores.runs(decisive.ROUND, "testset", experiment.control):
            return []
        picture = self.figures / "trade.png"
        parts = decisive.section(
            experiment,
            self.scores,
            self.minimum,
            settings["columns"],
            settings["pairs"],
            picture,
        )
        rules = decisive.__doc__.split("\n\n", 1)[1].strip()
        head = ["## The decisive experiment: equal gradients", prose, rules]
        found = decisive.words(experiment, self.scores)
        pictures = [self._picture("Noisiness and coloration", picture)]
        return [*head, *parts, *pictures, *found]

    def _overviews(self) -> list[str]:
        parts, columns = [], self.settings["columns"]
        for kind in ROUNDS:
            for name in self.settings["sets"]:
                found = {
                    against: gains
                    for (*place, against), gains in self.gains.items()
                    if place == [kind, name]
                }
                for against, gains in found.items():
                    parts.append(f"### {name}, {kind}: gains over {against}")
                    parts.append(tables.gains_table(gains, columns, self.minimum))
                if found:
                    picture = self.figures / f"gains_{name}_{kind}.png"
                    plot_gains(found, self.settings["drawn"], name, picture)
                    parts.append(self._picture(f"Gains, {name}, {kind}", picture))
        return parts

    def _passes(self) -> list[str]:
        systems = self.experiment.self_consistency.systems
        if not self.scores.curves:
            return ["There are no scores."]
        picture, column = self.figures / "self_consistency.png", self.settings["passes"]
        plot_curves(self.scores, systems, column, picture)
        table = tables.passes_table(self.scores, systems, column)
        return [table, self._picture("Scores by pass", picture)]

    def _sweep(self, default: str, columns: list[str]) -> list[str]:
        """Return the gains of other settings, and which is recommended by rule."""
        rows = {
            name: gains
            for name in self.experiment.sets["validset"].systems
            if name != default
            and all(gains := [self._valid(name, default, c) for c in columns])
        }
        correct([gains[0] for gains in rows.values()])
        rows = dict(sorted(rows.items(), key=lambda row: -row[1][0].mean))
        guard = columns[1]
        best = [
            name
            for name, (gain, guarded, *_) in rows.items()
            if is_better(gain, self.minimum[columns[0]])
            and guarded.mean > -self.minimum[guard]
        ]
        table = tables.sweep_table(rows, columns)
        return [table, f"By this rule: **`{[*best, default][0]}`**."]

    def _valid(self, system: str, against: str, column: str) -> Gain | None:
        return self.scores.gain("first", "validset", system, against, column)

    def _means(self) -> list[str]:
        parts = []
        for kind in ROUNDS:
            for name in self.settings["sets"]:
                systems = self.experiment.sets[name].systems
                parts.append(f"### {name}, {kind}")
                parts += [
                    tables.means_table(self.scores, kind, name, systems, columns)
                    for columns in self.settings["tables"]
                ]
        return parts

    def _runs(self, kind: str) -> str:
        records = training_records(self.scores.folder / kind)

        def listed(values: Iterable[str]) -> str:
            return ", ".join(sorted(set(values))) or "none"

        return (
            f"* {kind}: {len(records)} trainings; "
            f"device {listed(r['device'] for r in records)}, "
            f"torch {listed(r['versions']['torch'] for r in records)}, "
            f"commits {listed(r['commit'][:10] for r in records)}."
        )

    def _picture(self, text: str, picture: Path) -> str:
        place = picture.resolve().relative_to(self.page.resolve().parent)
        return f"![{text}]({place.as_posix()})"

    def write_gains(self, path: Path) -> None:
        """Write every gain of the overviews with its intervals, a row each."""
        head = "round,set,against,system,score,clips,mean,low_clips,high_clips,"
        rows = [head + "low_trainings,high_trainings,p_holm,by_training"]
        for key, found in self.gains.items():
            for (system, column), gain in found.items():
                means = (gain.mean, *gain.over_clips, *gain.over_trainings)
                cells = [*key, system, column, str(gain.clips)]
                cells += [*(f"{x:.5f}" for x in means), f"{gain.p:.3g}"]
                trainings = " ".join(f"{x:.5f}" for x in gain.by_training.values())
                rows.append(",".join([*cells, trainings]))
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def main() -> int:
    """Write the page, print the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--settings", type=Path, default=HERE / "report.yaml")
    parser.add_argument("--scores", type=Path, default=HERE / "scores")
    parser.add_argument("--output", type=Path, default=HERE.parent / "RESULTS.md")
    parser.add_argument("--figures", type=Path, default=HERE / "figures")
    options = parser.parse_args()
    try:
        settings = yaml.safe_load(options.settings.read_text(encoding="utf-8"))
        experiment = read_experiment(options.settings.parent / settings["experiment"])
        scores = Scores(options.scores)
        report = Report(experiment, settings, scores, options.output, options.figures)
        options.output.write_text(report.text(), encoding="utf-8")
        report.write_gains(options.figures / "gains.csv")
    except (ValueError, OSError) as error:
        print(f"experiments.report: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
