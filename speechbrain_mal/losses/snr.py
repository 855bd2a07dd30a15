"""Signal-to-noise ratio as a term of the loss: what holds level and equalization."""

import torch
from torch import Tensor, nn

from speechbrain_mal.lengths import sample_counts, silence_padding

SILENCE = 1e-4  # RMS, full scale is 1: the ratio to silence says nothing


class SNRLoss(nn.Module):
    """Negative SNR in dB, up to a threshold: `10 log10(|e - c|^2 / |c|^2 + tau)`.

    Unlike PESQ's and ESTOI's terms it hears a gain and slow filtering. Clips that are
    better than the threshold, `-10 log10(tau)`, hardly count: they would rule the mean
    (S. Wisdom et al., "Unsupervised sound separation using mixture invariant training",
    NeurIPS 2020, equation 2). Silent clean clips do not count.

    Arguments
    ---------
    threshold_db : float
        In dB.

    Example
    -------
    >>> clean = torch.ones(1, 100)
    >>> round(SNRLoss()(0.9 * clean, clean).item(), 2)
    -19.59
    """

    def __init__(self, threshold_db: float = 30.0):
        super().__init__()
        self.tau = 10 ** (-threshold_db / 10)

    def forward(
        self, enhanced: Tensor, clean: Tensor, lengths: Tensor | None = None
    ) -> Tensor:
        """Return the loss, a scalar; arguments as of every loss."""
        with torch.autocast(clean.device.type, enabled=False):
            enhanced, clean = silence_padding(lengths, enhanced.float(), clean.float())
            signal = clean.square().sum(1)
            floor = SILENCE**2 * sample_counts(clean, lengths)
            error = (enhanced - clean).square().sum(1) / torch.maximum(signal, floor)
            values = 10 * (error + self.tau).log10()
        audible = signal > floor
        return torch.where(audible, values, 0.0).sum() / audible.sum().clamp_min(1)
