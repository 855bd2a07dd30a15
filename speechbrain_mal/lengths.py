"""Relative lengths: masks, clips of one length, means over each clip's frames."""

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


def silence_padding(lengths: Tensor | None, *waveforms: Tensor) -> list[Tensor]:
    """Return waveforms `[B, samples]` with zeros behind each clip's end.

    Example
    -------
    >>> silence_padding(torch.tensor([0.5]), torch.tensor([[1.0, float("nan")]]))
    [tensor([[1., 0.]])]
    """
    if lengths is None:
        return list(waveforms)
    mask = length_mask(sample_counts(waveforms[0], lengths), waveforms[0].shape[1])
    # `where`, not a product: what padding holds may be infinite.
    return [torch.where(mask, x, 0.0) for x in waveforms]


def clips_by_length(
    waveforms: Tensor, lengths: Tensor | None
) -> dict[int, slice | list[int]]:
    """Return which clips of `[B, samples]` have each number of samples; a wait.

    Example
    -------
    >>> clips_by_length(torch.zeros(3, 100), torch.tensor([0.5, 1.0, 0.5]))
    {50: [0, 2], 100: [1]}
    """
    if lengths is None:
        return {waveforms.shape[1]: slice(None)}
    counts = sample_counts(waveforms, lengths).tolist()
    return {n: [i for i, m in enumerate(counts) if m == n] for n in counts}


def mean_over_clips(values: Tensor, counts: Tensor | None) -> Tensor:
    """Mean over each clip's own frames, then over the clips: padding has no weight.

    Arguments
    ---------
    values : Tensor
        `[B, T, ...]`.
    counts : Tensor or None
        Frames of every clip, `[B]`; None for all of them.

    Returns
    -------
    Tensor
        A scalar, the mean of what every clip gives on its own.

    Example
    -------
    >>> mean_over_clips(torch.tensor([[1.0, 3.0], [4.0, 99.0]]), torch.tensor([2, 1]))
    tensor(3.)
    """
    if counts is None:
        return values.mean()
    if values.dim() > 2:
        values = values.mean(tuple(range(2, values.dim())))
    sums = torch.where(length_mask(counts, values.shape[1]), values, 0.0).sum(1)
    return (sums / counts.clamp_min(1)).mean()
