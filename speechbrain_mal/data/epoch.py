"""The number of the epoch, in memory that a loader's workers share."""

from __future__ import annotations

from typing import Any

import torch


class SharedEpoch:
    """Tell all worker processes, persistent ones too, which epoch it is.

    What a dataset draws at random depends on it.

    Example
    -------
    >>> import copy
    >>> epoch = SharedEpoch()
    >>> follower = copy.deepcopy(epoch)
    >>> epoch.set_epoch(3)
    >>> follower.epoch
    3
    """

    def __init__(self):
        # Persistent workers are forked or spawned once: only memory that they share
        # with the main process can tell them of later epochs.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """The epoch that random choices are for."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Move to another epoch, in all worker processes too.

        Call it before the loader's iterator is made: clips that workers are already
        reading keep the choices of the epoch before.
        """
        self._epoch.fill_(epoch)

    def __deepcopy__(self, memo: dict) -> SharedEpoch:
        """Return the object itself: a dataset's copy follows the same epoch."""
        # DynamicItemDataset.filtered_sorted deep-copies its pipeline. A copy would
        # stay in the first epoch for ever, as set_epoch reaches the original.
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled object, at its epoch."""
        self.__dict__.update(state)
        self._epoch.share_memory_()  # lost in a file, kept on the way to a worker
