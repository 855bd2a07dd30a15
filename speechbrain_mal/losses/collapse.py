"""Collapse: an encoder that trains with its own loss may make everything alike.

Features that no longer vary are close to each other whatever the speech, so the loss
falls without better speech. The variance of the clean features shows it.
"""

import torch
from torch import Tensor, nn

from speechbrain_mal.lengths import clip_means, length_mask

MOMENTUM = 0.98  # of the running mean over batches: about the last 50
EVERY = 50  # batches between two looks at it on a device, where each one is a wait


class FeatureCollapseError(ValueError):
    """The clean features' variance fell below the allowed share of its first value."""


class CollapseGuard(nn.Module):
    """Watch the variance of the clean features, and stop when it has collapsed.

    Arguments
    ---------
    layers : int
        Number of layers watched.
    below : float
        Smallest running mean of the variance, relative to the first batch's, that is
        not an error, in [0, 1); 0 never stops. The layer that lost most counts.

    Raises
    ------
    ValueError
        When `below` is not in [0, 1).

    Example
    -------
    >>> guard = CollapseGuard(layers=1, below=0.1)
    >>> for variance in (2.0, 1.0, 1.0):
    ...     guard(torch.tensor([variance]))
    >>> round(guard.relative_variance.item(), 2)
    0.98
    """

    def __init__(self, layers: int, below: float = 0.1):
        super().__init__()
        if not 0 <= below < 1:
            raise ValueError(f"collapse_below is in [0, 1), not {below}.")
        self.below = below
        self.calls = 0
        self.register_buffer("reference", torch.zeros(layers))
        self.register_buffer("running", torch.ones(layers))

    @property
    def relative_variance(self) -> Tensor:
        """Running mean of the variance relative to the first batch's, lowest layer."""
        return self.running.min()

    @torch.no_grad()
    def forward(self, variances: Tensor) -> None:
        """Take a batch's variances, `[L]`.

        Raises
        ------
        FeatureCollapseError
            When the running mean is below the limit. On a device that is looked at in
            every 50th batch.
        """
        first = ~self.reference.any()
        self.reference.copy_(torch.where(first, variances, self.reference))
        # Layers of no variance at all have nothing to lose.
        ratio = torch.where(self.reference > 0, variances / self.reference, 1.0)
        self.running.lerp_(ratio, 1 - MOMENTUM)
        self.calls += 1
        if variances.device.type == "cpu" or self.calls % EVERY == 0:
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


def clip_variances(features: Tensor, frames: Tensor | None) -> Tensor:
    """Variance over each clip's frames, averaged over the units, `[B]`.

    Arguments
    ---------
    features : Tensor
        `[B, T, ...]`.
    frames : Tensor or None
        Frames of every clip, `[B]`; None for all of them.

    Example
    -------
    >>> x = torch.tensor([[[1.0], [3.0]], [[4.0], [9.0]]])
    >>> clip_variances(x, torch.tensor([2, 1]))
    tensor([1., 0.])
    """
    x = features.flatten(2)
    if frames is None:
        return x.var(1, correction=0).mean(1)
    mask = length_mask(frames, x.shape[1])[..., None]
    mean = torch.where(mask, x, 0.0).sum(1) / frames.clamp_min(1)[:, None]
    return clip_means((x - mean[:, None]).square(), frames)
