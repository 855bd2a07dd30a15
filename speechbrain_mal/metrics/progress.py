"""Results on disk, one line a clip, each valid while its files and options are."""

import json
import os
from pathlib import Path

import numpy as np

from speechbrain_mal.audio import stamp_of
from speechbrain_mal.files import printable
from speechbrain_mal.metrics.clips import Clip
from speechbrain_mal.metrics.text import read_text
from speechbrain_mal.processes import DIED

Results = dict[str, dict]  # by metric: {"scores": {column: number}} or {"reason": text}


class Progress:
    """Keep the results of clips as they come.

    Arguments
    ---------
    path : path, optional
        The file; none keeps nothing.
    options : dict of str to dict
        Options by metric: a result holds for those that it was made with.

    Raises
    ------
    ValueError
        When the file holds something else. A line that a kill cut off is left out.
    """

    def __init__(self, path: str | os.PathLike | None, options: dict[str, dict]):
        self.path = None if path is None else Path(path)
        self.options = options
        self.lines: dict[str, dict] = {}
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = read_text(self.path) if self.path.exists() else ""
        for number, line in enumerate(content.splitlines(), 1):
            try:
                record = json.loads(line)
            except json.JSONDecodeError:  # cut off by a kill
                continue
            if not _is_record(record):
                raise ValueError(
                    f"{printable(self.path)}: line {number} is no result of an "
                    "evaluation: move the file away, or write to another folder."
                )
            self.lines[record["clip"]] = record
        if content and not content.endswith("\n"):
            self._append("\n")

    def known(self, clip: Clip) -> Results:
        """Return the results that still hold."""
        record = self.lines.get(clip.name)
        if record is None or record["files"] != _files(clip):
            return {}
        return {
            name: result
            for name, result in record["results"].items()
            if record["options"][name] == self._options(name)
        }

    def keep(self, clip: Clip, results: Results) -> None:
        """Add a clip's results; lines written earlier are superseded."""
        results = {
            name: result
            for name, result in results.items()
            if not result.get("reason", "").startswith(DIED)
        }
        if self.path is None or _files(clip) is None or not results:
            return
        record = {
            "clip": clip.name,
            "files": _files(clip),
            "options": {name: self._options(name) for name in results},
            "results": results,
        }
        self._append(json.dumps(record) + "\n")

    def _append(self, text: str) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(text)

    def _options(self, name: str) -> dict:
        return {key: str(value) for key, value in self.options.get(name, {}).items()}


def _is_record(value: object) -> bool:
    if not isinstance(value, dict) or not value.keys() >= {"clip", "files"}:
        return False
    results, options = value.get("results"), value.get("options")
    if not isinstance(results, dict) or not isinstance(options, dict):
        return False
    return isinstance(value["clip"], str) and results.keys() <= options.keys()


def _files(clip: Clip) -> list | None:
    """Return what tells whether files have changed; None for waveforms."""
    facts = []
    for audio in (clip.enhanced, clip.clean):
        if isinstance(audio, np.ndarray):
            return None
        stamp = stamp_of(audio) if audio else []
        facts.append([str(audio), *stamp] if stamp else None)
    return [*facts, clip.transcript]
