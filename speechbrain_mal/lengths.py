"""Relative lengths: length masks, and means over the frames of each clip."""

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


def lengths_or_none(lengths: Tensor) -> Tensor | None:
    """Return None where no clip of the batch is padded, and the lengths otherwise.

    Ask it before the batch goes to the device: there the answer would have to be
    waited for. Without padding, losses and encoders need no masks.

    Arguments
    ---------
    lengths : Tensor
        SpeechBrain's relative lengths, `[B]`.

    Example
    -------
    >>> lengths_or_none(torch.ones(2)) is None
    True
    >>> lengths_or_none(torch.tensor([1.0, 0.5]))
    tensor([1.0000, 0.5000])
    """
    return None if bool((lengths == 1).all()) else lengths


def length_mask(counts: Tensor, size: int) -> Tensor:
    """Return a mask `[B, size]`, true before each clip's count `[B]`."""
    return torch.arange(size, device=counts.device) < counts[:, None]


def clip_means(values: Tensor, counts: Tensor | None) -> Tensor:
    """Mean over each clip's own frames.

    Arguments
    ---------
    values : Tensor
        `[B, T, ...]`.
    counts : Tensor or None
        Frames of every clip, `[B]`; None for all of them.

    Returns
    -------
    Tensor
        `[B]`: what every clip gives on its own.

    Example
    -------
    >>> clip_means(torch.tensor([[1.0, 3.0], [4.0, 99.0]]), torch.tensor([2, 1]))
    tensor([2., 4.])
    """
    if counts is None:
        return values.flatten(1).mean(1)
    frames = values.flatten(2).mean(-1) if values.dim() > 2 else values
    mask = length_mask(counts, frames.shape[1])
    # `where`, not a product: what padding holds may be infinite.
    sums = torch.where(mask, frames, 0.0).sum(1)
    return sums / counts.clamp_min(1)


def mean_over_clips(values: Tensor, counts: Tensor | None) -> Tensor:
    """Mean of `clip_means`, a scalar: padding has no weight.

    Example
    -------
    >>> mean_over_clips(torch.tensor([[1.0, 3.0], [4.0, 99.0]]), torch.tensor([2, 1]))
    tensor(3.)
    """
    return clip_means(values, counts).mean()
