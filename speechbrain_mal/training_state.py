"""What a training has to remember between two batches: random state and means."""

import random
from pathlib import Path

import numpy as np
import torch
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.distributed import is_distributed_initialized
from torch import Tensor


@register_checkpoint_hooks
class TrainingState:
    """Random state and running means of an epoch, saved with the checkpoint.

    Sums stay on the device they are computed on, and are read when a mean is asked for.
    """

    def __init__(self):
        self._sums: dict[str, tuple[Tensor, int]] = {}
        self._random: dict | None = None

    def average(self, values: dict[str, Tensor]) -> None:
        """Add one batch's values, scalars, to the running means."""
        for name, value in values.items():
            value = value.detach().double()
            total, number = self._sums.get(name, (0.0, 0))
            self._sums[name] = (value + total, number + 1)

    def mean(self, name: str) -> float:
        """Return a running mean of this process; on a device, this is a wait."""
        total, number = self._sums[name]
        return total.item() / number

    def pop_means(self) -> dict[str, float]:
        """Return the means, over all processes' batches, and start anew."""
        sums = {name: (x.item(), number) for name, (x, number) in self._sums.items()}
        self._sums = {}
        if is_distributed_initialized():
            every = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(every, sums)
            sums = {
                name: [sum(one[name][i] for one in every) for i in (0, 1)]
                for name in sums
            }
        return {name: total / number for name, (total, number) in sums.items()}

    def restore_random(self) -> None:
        """Set the random states of a loaded checkpoint, once."""
        if self._random is None:
            return
        random.setstate(self._random["python"])
        kind, keys, *rest = self._random["numpy"]
        np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
        torch.set_rng_state(self._random["torch"])
        if torch.cuda.is_available() and self._random["cuda"]:
            torch.cuda.set_rng_state_all(self._random["cuda"])
        self._random = None

    @mark_as_saver
    def _save(self, path: Path) -> None:
        kind, keys, *rest = np.random.get_state()
        state = {  # plain types only: loading it never unpickles code
            "python": random.getstate(),
            "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), *rest),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        sums = {name: (x.cpu(), number) for name, (x, number) in self._sums.items()}
        torch.save({"random": state, "sums": sums}, path)

    @mark_as_loader
    def _load(self, path: Path, end_of_epoch: bool) -> None:
        if end_of_epoch:  # every epoch starts from its own seed and empty means
            return
        state = torch.load(path, weights_only=True)
        self._random = state["random"]
        self._sums = {name: tuple(pair) for name, pair in state["sums"].items()}


def seed_epoch(seed: int, epoch: int) -> None:
    """Seed Python, NumPy and torch for one epoch: it depends on nothing before it."""
    number = int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)
