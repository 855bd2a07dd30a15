"""What stops a training: values that are not finite, features that collapse."""

from collections import deque

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from speechbrain_mal.lengths import length_mask, mean_over_clips

MOMENTUM = 0.98  # of the variance's running mean over batches: about the last 50
EVERY = 50  # batches between two looks at it on a device, where each one is a wait


class NonFiniteLossError(ValueError):
    """The loss or its gradient became NaN or infinite."""


class FeatureCollapseError(ValueError):
    """The clean features' variance fell below the allowed share of its first value."""


class FiniteWatch:
    """Stop a training at a value that is not finite, without waiting for the device.

    On a CPU `add` raises at once. On a device the answer comes some batches later, when
    the device has got there: whoever adds a value makes sure that nothing is done with
    it if it is not finite.

    Example
    -------
    >>> watch = FiniteWatch()
    >>> watch.add("The loss", torch.tensor(float("nan")), "batch 3")
    Traceback (most recent call last):
    speechbrain_mal.watch.NonFiniteLossError: The loss is nan in batch 3. ...
    """

    def __init__(self):
        self._waiting: deque = deque()

    def add(self, what: str, value: Tensor, where: str) -> None:
        """Watch a scalar; `what` it is and `where` it arose are in the error."""
        value = value.detach()
        if value.device.type != "cuda":
            self._raise_for(what, value, where)
            return
        on_host = torch.empty((), dtype=value.dtype, pin_memory=True)
        on_host.copy_(value, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        self._waiting.append((arrived, what, on_host, where))

    def before_step(self, optimizer: Optimizer, norm: Tensor, where: str) -> None:
        """Watch the gradient's norm, and keep the optimizer from a step with NaN."""
        self.add("The gradient", norm, where)
        if optimizer.defaults.get("fused"):
            # As float16's scaler does it: the device skips a step that is not finite.
            optimizer.found_inf = (~norm.isfinite()).float()
        else:
            self.check(wait=True)

    def check(self, wait: bool = False) -> None:
        """Raise NonFiniteLossError for a value that has arrived; or wait for all."""
        while self._waiting and (wait or self._waiting[0][0].query()):
            arrived, *rest = self._waiting.popleft()
            arrived.synchronize()
            self._raise_for(*rest)

    def _raise_for(self, what: str, value: Tensor, where: str) -> None:
        if not torch.isfinite(value):
            raise NonFiniteLossError(
                f"{what} is {value.item()} in {where}. Check these clips, or lower the "
                "learning rate."
            )


class CollapseGuard(nn.Module):
    """Stop a training in which the clean features of a loss's encoder collapse.

    An encoder that trains with its own loss may make everything alike: then the loss
    falls without better speech, and the variance of the clean features shows it. Its
    running mean, relative to the first batch's, must not fall `below` a share, in [0,
    1), in any of the `layers`; 0 never stops.

    Example
    -------
    >>> guard = CollapseGuard(layers=1)
    >>> for spread in (2.0, 1.0):
    ...     guard([torch.tensor([[[-spread], [spread]]])], [None])
    >>> round(guard.relative_variance.item(), 3)
    0.985
    """

    def __init__(self, layers: int, below: float = 0.1):
        super().__init__()
        if not 0 <= below < 1:
            raise ValueError(f"collapse_below is in [0, 1), not {below}.")
        self.below = below
        self.batches = 0
        self.register_buffer("reference", torch.zeros(layers))
        self.register_buffer("running", torch.ones(layers))

    @property
    def relative_variance(self) -> Tensor:
        """Running mean of the variance relative to the first batch's, lowest layer."""
        return self.running.min()

    @torch.no_grad()
    def forward(self, features: list[Tensor], frames: list[Tensor | None]) -> None:
        """Take a batch's clean features, `[B, T, ...]` a layer, and the clips' frames.

        Raises FeatureCollapseError; a device is looked at in every 50th batch.
        """
        variances = torch.stack(list(map(variance_over_time, features, frames)))
        first = ~self.reference.any()  # on the device: a loaded state has had its first
        self.reference.copy_(torch.where(first, variances, self.reference))
        # Layers of no variance at all have nothing to lose.
        ratio = torch.where(self.reference > 0, variances / self.reference, 1.0)
        self.running.lerp_(ratio, 1 - MOMENTUM)
        self.batches += 1
        if variances.device.type == "cpu" or self.batches % EVERY == 0:
            self._check(self.running.tolist())

    def _check(self, running: list[float]) -> None:
        if min(running) < self.below:
            raise FeatureCollapseError(
                "The variance of the clean features has fallen to "
                f"{min(running):.3f} of what it was at the start of phase two (layers: "
                f"{[round(x, 3) for x in running]}). The encoder makes all speech "
                "alike, so the loss falls without better speech. Use refresh: never, "
                "or a lower learning rate or weight of this loss; collapse_below "
                f"({self.below}) is the limit, 0 for none."
            )


def variance_over_time(features: Tensor, frames: Tensor | None) -> Tensor:
    """Return the variance over each clip's own frames, a mean over units and clips."""
    if frames is None:
        return features.var(1, correction=0).mean()
    features = features.flatten(2)
    mask = length_mask(frames, features.shape[1])[..., None]
    mean = torch.where(mask, features, 0.0).sum(1) / frames.clamp_min(1)[:, None]
    return mean_over_clips((features - mean[:, None]).square(), frames)
