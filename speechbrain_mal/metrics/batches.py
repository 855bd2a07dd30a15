"""The clips of a validation or a test, batch by batch, as the engine scores them."""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

from speechbrain_mal.metrics.clips import Clip
from speechbrain_mal.metrics.engine import evaluate
from speechbrain_mal.metrics.table import ScoreTable

logger = logging.getLogger(__name__)


class BatchClips:
    """Collect clips out of padded batches.

    Arguments
    ---------
    sample_rate : int
        Of the clips in Hz.
    folder : path, optional
        Write each enhanced clip there, `<id>.wav`, and score that file: the numbers are
        of what users listen to.

    Example
    -------
    >>> clips = BatchClips(16000)
    >>> batch = np.zeros((2, 100), dtype=np.float32)
    >>> clips.add(["a", "b"], batch, batch, lengths=[1.0, 0.5])
    >>> [(clip.name, clip.enhanced.shape) for clip in clips]
    [('a', (100,)), ('b', (50,))]
    """

    def __init__(self, sample_rate: int, folder: str | os.PathLike | None = None):
        self.sample_rate = sample_rate
        self.folder = Path(folder) if folder else None
        self._clips: list[Clip] = []

    def __iter__(self) -> Iterator[Clip]:
        return iter(self._clips)

    def add(
        self,
        names: Sequence[str],
        enhanced: np.ndarray,
        clean: np.ndarray,
        lengths: Sequence[float],
        clean_files: Sequence[str] | None = None,
    ) -> None:
        """Add a batch.

        Arguments
        ---------
        names : sequence of str
            Ids of the clips.
        enhanced, clean : np.ndarray
            `[B, samples]`.
        lengths : sequence of float
            Relative lengths.
        clean_files : sequence of str, optional
            Where the clean clips came from: with a folder these files are compared.
        """
        for i, name in enumerate(names):
            samples = round(lengths[i] * clean.shape[1])
            pair = [enhanced[i, :samples], clean[i, :samples]]
            if self.folder:
                self.folder.mkdir(parents=True, exist_ok=True)
                path = self.folder / f"{name}.wav"
                soundfile.write(path, pair[0], self.sample_rate)
                pair[0] = path
                if clean_files:
                    pair[1] = Path(clean_files[i])
            self._clips.append(Clip(name, *pair, sample_rate=self.sample_rate))

    def score(
        self,
        metrics: Sequence[str],
        options: dict[str, dict] | None = None,
        jobs: int = 1,
        progressbar: bool = False,
    ) -> ScoreTable:
        """Score the clips as `evaluate` does; what can't be scored is a warning."""
        table = evaluate(self, metrics, options, jobs, progressbar=progressbar)
        for failure in table.failures:
            logger.warning(f"Not scored, and left out of that mean: {failure}")
        return table
