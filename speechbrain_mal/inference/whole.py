"""A signal for an enhancer that has to hear all of it first."""

import torch
from torch import Tensor, nn


class WholeSignal:
    """What `Stream` is, for models that can't stream: memory grows with the signal.

    Arguments
    ---------
    enhancer : nn.Module
        Noisy waveforms `[B, samples]` to enhanced ones.
    sample_rate : int
        Its sampling rate in Hz.
    channels : int
        Number of channels, each enhanced on its own: samples are `[channels, n]`.

    Example
    -------
    >>> signal = WholeSignal(nn.Identity(), sample_rate=16000, channels=1)
    >>> [signal.push(torch.ones(1, 3)).shape[1], signal.flush().shape[1]]
    [0, 3]
    """

    def __init__(self, enhancer: nn.Module, sample_rate: int, channels: int):
        self.sample_rate = sample_rate
        self._enhancer = enhancer
        self._pieces = [torch.zeros(channels, 0)]

    def push(self, samples: Tensor) -> Tensor:
        """Keep the next samples, `[channels, n]`; nothing is ready, `[channels, 0]`."""
        self._pieces.append(samples)
        return samples[:, :0]

    @torch.inference_mode()
    def flush(self) -> Tensor:
        """End the signal, and return all of it, `[channels, samples]`."""
        return self._enhancer(torch.cat(self._pieces, dim=1))
