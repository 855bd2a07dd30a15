"""What the worker processes of a loader share: the epoch, and which files failed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)


class Shared:
    """Whole numbers in memory that all worker processes see, persistent ones, too.

    A copy of a dataset shares them: `DynamicItemDataset.filtered_sorted` copies its
    pipeline, and what the original is told has to reach it.
    """

    def __init__(self, numbers: int):
        self._shared = torch.zeros(numbers, dtype=torch.int64).share_memory_()

    def __deepcopy__(self, memo: dict) -> Shared:
        """Return the object itself."""
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled object, with its numbers."""
        self.__dict__.update(state)
        self._shared.share_memory_()  # lost in a file, kept on the way to a worker


class SharedEpoch(Shared):
    """The epoch, which random choices depend on, for all worker processes.

    Clips that workers are already reading keep the choices of the epoch before.
    """

    def __init__(self):
        super().__init__(1)

    @property
    def epoch(self) -> int:
        """The epoch that random choices are for."""
        return int(self._shared)

    def set_epoch(self, epoch: int) -> None:
        """Move to another epoch, before the loader's iterator is made."""
        self._shared.fill_(epoch)


class TooManySkippedError(RuntimeError):
    """More examples than the set share met a file that can't be read."""


class SkippedFiles(Shared):
    """Count examples and the unreadable files they met, over all worker processes.

    Arguments
    ---------
    max_share : float
        Training stops when more than this share of the examples met such a file.
    log : path, optional
        Text file to which the name of each is added once, with the reason, besides the
        warnings.
    min_examples : int
        Nothing is stopped before so many examples were made.

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
        # Examples, and those that met a bad file. Two workers that count at the same
        # instant may count as one.
        super().__init__(2)
        self.max_share, self.min_examples = max_share, min_examples
        self.log = None if log is None else Path(log)
        self._named: set[str] = set()
        self._is_met = False  # by the example that is being made

    @property
    def met(self) -> int:
        """Number of examples that met an unreadable file."""
        return int(self._shared[1])

    def begin_example(self) -> None:
        """Count an example."""
        self._shared[0] += 1
        self._is_met = False

    def add(self, file: str, reason: str) -> None:
        """Name a file that could not be read, and count the example that met it.

        Past the share, it is a TooManySkippedError.
        """
        self._shared[1] += not self._is_met  # an example may meet several
        self._is_met = True
        if file not in self._named:
            self._named.add(file)
            logger.warning(f"Skipped: {file}: {reason}")
            self._write(file, reason)
        examples, met = self._shared.tolist()
        if examples >= self.min_examples and met > self.max_share * examples:
            where = f"; {self.log} names them" if self.log else ""
            raise TooManySkippedError(
                f"{self.summary()}, more than the {self.max_share:.1%} that "
                f"max_share of skipped_files allows; the last was {file}: {reason}"
                f"{where}. Restore the files, or prepare the data again."
            )

    def summary(self) -> str:
        """Return what was counted, in words."""
        examples, met = self._shared.tolist()
        return f"{met} of {examples} examples met a file that could not be read"

    def _write(self, file: str, reason: str) -> None:
        if self.log is None:
            return
        # Workers are new in every epoch, and know nothing of what others named. Two
        # that meet a file at the same instant may both write its name.
        self.log.parent.mkdir(parents=True, exist_ok=True)
        written = self.log.read_text(encoding="utf-8") if self.log.exists() else ""
        if f"\n{file}\t" not in f"\n{written}":
            with open(self.log, "a", encoding="utf-8") as lines:
                lines.write(f"{file}\t{reason}\n")
