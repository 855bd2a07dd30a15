"""Files that can't be read during training: named, counted, and stood in for."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)


class TooManySkippedError(RuntimeError):
    """More examples than the set share met a file that can't be read."""


class SkippedFiles:
    """Count examples and the unreadable files they met, over all worker processes.

    Arguments
    ---------
    max_share : float
        Training stops when more than this share of the examples met such a file.
    log : path, optional
        Text file to which the name of each is added once, with the reason. Without it
        they are in the warnings only.
    min_examples : int
        Nothing is stopped before so many examples were made.

    Attributes
    ----------
    met : int
        Number of examples that met an unreadable file.

    Example
    -------
    >>> skipped = SkippedFiles(max_share=0.2, min_examples=4)
    >>> for _ in range(9):
    ...     skipped.begin_example()
    >>> skipped.add("speech/a.wav", "it ends early")
    >>> skipped.summary()
    '1 of 9 examples met a file that could not be read'
    """

    def __init__(
        self,
        max_share: float = 0.01,
        log: str | os.PathLike | None = None,
        min_examples: int = 100,
    ):
        if not 0 <= max_share <= 1:
            raise ValueError(f"max_share is {max_share}: it has to be from 0 to 1")
        self.max_share, self.min_examples = max_share, min_examples
        self.log = None if log is None else Path(log)
        # Examples, and those of them that met a bad file. Workers share the memory;
        # two that count at the same instant may count as one.
        self._counts = torch.zeros(2, dtype=torch.int64).share_memory_()
        self._named: set[str] = set()
        self._is_met = False  # by the example that is being made

    def __deepcopy__(self, memo: dict) -> SkippedFiles:
        """Return the object itself: a dataset's copy counts into the same numbers."""
        return self

    def begin_example(self) -> None:
        """Count an example."""
        self._counts[0] += 1
        self._is_met = False

    def add(self, file: str, reason: str) -> None:
        """Name a file that could not be read, and count the example that met it.

        Raises
        ------
        TooManySkippedError
            When the share is exceeded.
        """
        self._counts[1] += not self._is_met  # an example may meet several
        self._is_met = True
        if file not in self._named:
            self._named.add(file)
            logger.warning(f"Skipped: {file}: {reason}")
            if self.log is not None:
                _add_line(self.log, file, reason)
        examples, met = self._counts.tolist()
        if examples >= self.min_examples and met > self.max_share * examples:
            where = f"; {self.log} names them" if self.log else ""
            raise TooManySkippedError(
                f"{self.summary()}, more than the {self.max_share:.1%} that "
                f"max_skipped_share allows; the last was {file}: {reason}{where}. "
                "Restore the files, or prepare the data again."
            )

    @property
    def met(self) -> int:
        """Return the number of examples that met an unreadable file."""
        return int(self._counts[1])

    def summary(self) -> str:
        """Return what was counted, in words."""
        examples, met = self._counts.tolist()
        return f"{met} of {examples} examples met a file that could not be read"


def _add_line(log: Path, file: str, reason: str) -> None:
    # Workers are new in every epoch, and know nothing of what others named. Two
    # that meet a file at the same instant may both write its name.
    log.parent.mkdir(parents=True, exist_ok=True)
    written = log.read_text(encoding="utf-8") if log.exists() else ""
    if f"\n{file}\t" not in f"\n{written}":
        with open(log, "a", encoding="utf-8") as lines:
            lines.write(f"{file}\t{reason}\n")
