"""An encoder tapped from a model that was not built with one.

A model's own parts, from its first to its bottleneck, become its encoder: features are
what these parts return, and nothing behind the last of them is computed.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class _BottleneckReached(Exception):
    """Ends a forward pass behind the last part."""


class TappedEncoder(nn.Module):
    """The first parts of an enhancer, as an encoder that shares their weights.

    Arguments
    ---------
    enhancer : nn.Module
        Noisy waveforms `[B, samples]` to enhanced ones.
    parts : sequence of nn.Module
        Submodules of the enhancer in the order they are called: all that computes the
        features, so that a frozen encoder is frozen whole. Each may be called once.
    time_dims : sequence of int
        Which dimension of each part's output is time.
    """

    def __init__(
        self, enhancer: nn.Module, parts: Sequence[nn.Module], time_dims: Sequence[int]
    ):
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.time_dims = tuple(time_dims)
        self._enhancer = (enhancer,)  # a tuple hides what the encoder is a part of

    def forward(self, waveforms: Tensor) -> list[Tensor]:
        """Return every part's features, `[B, T, ...]`, shallow to deep.

        Arguments
        ---------
        waveforms : Tensor
            `[B, samples]`.

        Raises
        ------
        RuntimeError
            When the enhancer does not call all parts.
        """
        features = []

        def keep(part: nn.Module, inputs: Any, output: Any) -> None:
            # Recurrent and attention layers return further outputs behind the first.
            output = output if isinstance(output, Tensor) else output[0]
            features.append(output.movedim(self.time_dims[len(features)], 1))
            if len(features) == len(self.parts):
                raise _BottleneckReached

        hooks = [part.register_forward_hook(keep) for part in self.parts]
        try:
            self._enhancer[0](waveforms)
        except _BottleneckReached:
            return features
        finally:
            for hook in hooks:
                hook.remove()
        raise RuntimeError(
            f"the enhancer called {len(features)} of {len(self.parts)} parts of its "
            "encoder: name parts that its forward pass calls, each once, in that order"
        )


class TappedEnhancer(nn.Module):
    """Base of enhancers whose encoder is tapped from a network.

    A subclass has `forward(noisy, lengths=None)`, from `[B, samples]` to enhanced clips
    of the same shape, aligned to the sample.

    Arguments
    ---------
    network : nn.Module
        The model, as SpeechBrain has it; available as `self.network`.
    parts : sequence of str
        Names of the network's submodules that make up the encoder, in the order they
        are called; the last returns the bottleneck.
    time_dim : int or sequence of int
        Which dimension of the parts' outputs is time: one for all, or one each.

    Raises
    ------
    ValueError
        When no part is named, or the network has none of that name.

    Example
    -------
    >>> class Denoiser(TappedEnhancer):
    ...     def forward(self, noisy, lengths=None):
    ...         return self.network(noisy[:, None])[:, 0]
    >>> network = nn.Sequential(nn.Conv1d(1, 4, 3, padding=1), nn.Conv1d(4, 1, 1))
    >>> enhancer = Denoiser(network, parts=["0"], time_dim=2)
    >>> [list(x.shape) for x in enhancer.encoder(torch.randn(2, 800))]
    [[2, 800, 4]]
    """

    def __init__(
        self,
        network: nn.Module,
        parts: Sequence[str],
        time_dim: int | Sequence[int] = 1,
    ):
        super().__init__()
        self.network = network
        known = dict(network.named_modules())
        if unknown := [name for name in parts if name not in known] or not parts:
            raise ValueError(
                f"parts: {unknown if parts else 'none'} named, but the network's "
                f"submodules are {[name for name in known if name]}."
            )
        time_dims = [time_dim] * len(parts) if isinstance(time_dim, int) else time_dim
        if len(time_dims) != len(parts):
            raise ValueError(
                f"time_dim has {len(time_dims)} values for {len(parts)} parts."
            )
        # Shared weights in two places would be saved and counted twice.
        encoder = TappedEncoder(self, [known[name] for name in parts], time_dims)
        self._encoder = (encoder,)

    @property
    def encoder(self) -> TappedEncoder:
        """The tapped encoder: shares storage with the network."""
        return self._encoder[0]


def fit_length(waveforms: Tensor, samples: int) -> Tensor:
    """Cut, or fill up with zeros at the end, to `[B, samples]`.

    Example
    -------
    >>> fit_length(torch.ones(1, 3), 5)
    tensor([[1., 1., 1., 0., 0.]])
    """
    return torch.nn.functional.pad(waveforms, (0, samples - waveforms.shape[1]))
