"""Where an experiment reads and writes, and with what it works."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunPaths:
    """Where an experiment is done, and with what.

    Attributes
    ----------
    root : Path
        The project: the recipe's folder is in it.
    data_folder, output, results : Path
        The corpus, the folder of runs and clips, the folder of scores and records.
    device : str
        Such as `cpu` or `cuda`.
    jobs : int
        Processes that enhance and score.
    given : dict
        Settings that belong to the machine: where weights are.
    """

    root: Path
    data_folder: Path
    output: Path
    results: Path
    device: str
    jobs: int
    given: dict[str, str]

    def run(self, system: str, seed: int) -> Path:
        """Return the folder of a run."""
        return self.output / system / str(seed)

    def symbolic(self, text: str) -> str:
        """Return a text without this machine's folders: it goes into a record."""
        names = {
            self.data_folder: "$DATA",
            self.output: "$OUTPUT",
            self.results: "$RESULTS",
            **{Path(path): f"${key.upper()}" for key, path in self.given.items()},
            self.root: ".",
        }
        for path in sorted(names, key=lambda p: -len(str(p))):  # inner ones first
            text = text.replace(str(path), names[path])
        return text
