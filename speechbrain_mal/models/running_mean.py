"""The exponential running mean over frames that DeepFilterNet2's features divide by."""

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

SCAN_BLOCK = 256  # frames a matrix product of the scan spans


def exponential_running_mean(x: Tensor, decay: float, initial: Tensor) -> Tensor:
    """Return `s[t] = decay * s[t-1] + (1 - decay) * x[t]`, along dim 1 of `[B, T, F]`.

    The recurrence is linear, so a block of frames is one product with a lower
    triangular matrix and the blocks are chained by the same recurrence over their last
    values: no Python loop over frames, cost linear in their number. `initial` is the
    state before the first frame, `[F]` or `[B, F]`.

    Example
    -------
    >>> x = torch.ones(1, 3, 1)
    >>> exponential_running_mean(x, 0.5, torch.zeros(1)).flatten()
    tensor([0.5000, 0.7500, 0.8750])
    """
    batch, frames, bins = x.shape
    if frames == 1:  # a live stream's: worth its own line
        return torch.lerp(x, initial.expand(batch, bins)[:, None], decay)
    block = min(frames, SCAN_BLOCK)
    weights, decayed = _weights(block, decay, x.device, x.dtype)
    if frames == block:
        past = initial.expand(batch, bins)[:, None]
        return weights @ x + decayed * past
    blocks = F.pad(x, (0, 0, 0, -frames % block)).unflatten(1, (-1, block))
    within = weights @ blocks
    # The state at a block's end: what it holds itself, plus the decayed state before.
    ends = exponential_running_mean(
        within[:, :, -1] / (1 - decay**block), decay**block, initial
    )
    before = torch.cat([initial.expand(batch, bins)[:, None], ends[:, :-1]], dim=1)
    states = within + decayed * before[:, :, None]
    return states.flatten(1, 2)[:, :frames]


@functools.lru_cache(maxsize=16)  # seven operations less in every pass
def _weights(
    block: int, decay: float, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return the weights of a block's frames, `[t, t]`, and of the past, `[t, 1]`."""
    with torch.inference_mode(False):  # what is kept serves in training, too
        time = torch.arange(block, device=device, dtype=dtype)
        powers = decay ** (time[:, None] - time).clamp_min(0)
        return ((1 - decay) * powers).tril(), decay ** (time[:, None] + 1)
