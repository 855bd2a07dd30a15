"""Learning rate and weight decay by the epoch, as DeepFilterNet2's public training."""

import math
from collections.abc import Mapping
from types import SimpleNamespace

from speechbrain.nnet.schedulers import update_learning_rate
from torch.optim import Optimizer


class CosineSchedule:
    """Half a cosine from one value to another over a run's epochs, after a warm-up.

    Arguments
    ---------
    start, end : float
        Value of the first epoch after the warm-up, and from the last epoch on.
    epochs, warmup_epochs : int
        Epochs in all, and those of the warm-up among them. A shorter run ends within
        it.
    warmup_start : float
        Value of the warm-up's first epoch, from which it goes in a straight line.

    Example
    -------
    >>> schedule = CosineSchedule(1.0, 0.0, 5, warmup_epochs=2, warmup_start=0.5)
    >>> [round(schedule(epoch)[0], 2) for epoch in range(1, 7)]
    [0.5, 0.75, 1.0, 0.5, 0.0, 0.0]
    """

    def __init__(
        self,
        start: float,
        end: float,
        epochs: int,
        warmup_epochs: int = 0,
        warmup_start: float = 0.0,
    ):
        self.start, self.end, self.epochs = start, end, epochs
        self.warmup_epochs, self.warmup_start = warmup_epochs, warmup_start

    def __call__(self, epoch: int) -> tuple[float, float]:
        """Return the values of an epoch, from 1, and of the next."""
        return self._value(epoch), self._value(epoch + 1)

    def _value(self, epoch: int) -> float:
        if epoch <= self.warmup_epochs:
            share = (epoch - 1) / self.warmup_epochs
            return self.warmup_start + share * (self.start - self.warmup_start)
        last = self.epochs - self.warmup_epochs - 1
        share = min((epoch - self.warmup_epochs - 1) / last, 1.0) if last > 0 else 1.0
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * share)) / 2


def batches_per_step(growth: Mapping[int, int], epoch: int, phase: int = 1) -> int:
    """Return of how many batches the gradients make a step of the optimizer.

    `growth` has the number from an epoch of phase one on; phase two keeps the last.
    What is left at the end of an epoch and makes no step is dropped.

    Example
    -------
    >>> growth = {1: 1, 3: 4, 9: 8}
    >>> [batches_per_step(growth, epoch) for epoch in (2, 3, 8)]
    [1, 4, 4]
    """
    return growth[max(first for first in growth if first <= epoch or phase == 2)]


def set_rates(
    optimizer: Optimizer, h: SimpleNamespace, epoch: int, phase: int, phase_epoch: int
) -> float:
    """Set an epoch's learning rate and weight decay, and return the former.

    `h` is a Brain's `hparams`, see `settings.check_settings`; numbers are from 1.
    """
    lr = (h.lr_schedule, h.phase_two_lr_schedule)[phase - 1](phase_epoch)[0]
    update_learning_rate(optimizer, lr)
    if getattr(h, "weight_decay_schedule", None) is not None:
        for group in optimizer.param_groups:
            group["weight_decay"] = h.weight_decay_schedule(epoch)[0]
    return lr
