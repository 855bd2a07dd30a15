"""Relative lengths: masks, and means over what lies inside them."""

import torch
from torch import Tensor


def sample_counts(waveforms: Tensor, lengths: Tensor | None) -> Tensor:
    """Return the number of samples of every clip, `[B]`.

    Arguments
    ---------
    waveforms : Tensor
        `[B, samples]`.
    lengths : Tensor or None
        SpeechBrain's relative lengths, `[B]`, each in (0, 1]; None for whole clips.

    Example
    -------
    >>> sample_counts(torch.zeros(2, 100), torch.tensor([1.0, 0.35]))
    tensor([100,  35])
    """
    batch, samples = waveforms.shape
    if lengths is None:
        return torch.full((batch,), samples, device=waveforms.device)
    return (lengths * samples).round().long()


def inside(counts: Tensor, size: int) -> Tensor:
    """Return a mask `[B, size]`, true before each clip's count `[B]`."""
    return torch.arange(size, device=counts.device) < counts[:, None]


def clip_means(values: Tensor, counts: Tensor) -> Tensor:
    """Mean over each clip's own frames.

    Arguments
    ---------
    values : Tensor
        `[B, T, ...]`.
    counts : Tensor
        Frames of every clip, `[B]`.

    Returns
    -------
    Tensor
        `[B]`: what every clip gives on its own.

    Example
    -------
    >>> clip_means(torch.tensor([[1.0, 3.0], [4.0, 99.0]]), torch.tensor([2, 1]))
    tensor([2., 4.])
    """
    frames = values.flatten(2).mean(-1) if values.dim() > 2 else values
    mask = inside(counts, frames.shape[1])
    # `where`, not a product: what padding holds may be infinite.
    sums = torch.where(mask, frames, 0.0).sum(1)
    return sums / counts.clamp_min(1)


def mean_over_clips(values: Tensor, counts: Tensor) -> Tensor:
    """Mean of `clip_means`, a scalar: padding has no weight.

    Example
    -------
    >>> mean_over_clips(torch.tensor([[1.0, 3.0], [4.0, 99.0]]), torch.tensor([2, 1]))
    tensor(3.)
    """
    return clip_means(values, counts).mean()
