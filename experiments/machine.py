"""What of an experiment's work belongs to the machine that does it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechbrain_mal.metrics.registry import METRICS


@dataclass(frozen=True)
class Machine:
    """Where an experiment is done, and with what."""

    root: Path  # of the project: the recipe's folder is in it
    data_folder: Path
    output: Path  # of runs and clips
    scores: Path  # of scores and records
    device: str = "cpu"
    jobs: int = 1  # processes that enhance and score
    given: dict[str, str] = field(default_factory=dict)  # where weights are
    metric_options: dict[str, dict] = field(default_factory=dict)

    def run(self, system: str, seed: int | str) -> Path:
        """Return the folder of a run."""
        return self.output / system / str(seed)

    def options_of(self, metrics: list[str]) -> dict[str, dict]:
        """Return the options of some metrics."""
        return {k: v for k, v in self.metric_options.items() if k in metrics}

    def portable_options(self) -> dict[str, dict[str, Any]]:
        """Return the metrics' options but for where files are on this machine."""
        options = {
            name: {k: v for k, v in values.items() if k != METRICS[name].file}
            for name, values in self.metric_options.items()
        }
        return {name: values for name, values in options.items() if values}

    def actual(self, flags: dict[str, Any]) -> dict[str, Any]:
        """Return a recipe's settings with the folder of runs in place of `$OUTPUT`."""
        return {
            key: value.replace("$OUTPUT", str(self.output))
            if isinstance(value, str)
            else value
            for key, value in flags.items()
        }

    def symbolic(self, text: str) -> str:
        """Return a text without this machine's folders: it goes into a record."""
        names = {
            str(self.data_folder): "$DATA",
            str(self.output): "$OUTPUT",
            str(self.scores): "$SCORES",
            **{path: f"${key.upper()}" for key, path in self.given.items()},
            str(self.root): ".",
        }
        for path in sorted(names, key=len, reverse=True):  # inner ones first
            text = text.replace(path, names[path])
        return text
