"""What losses, models and the Brain ask of each other: encoders and enhancers."""

import warnings
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from speechbrain_mal.lengths import clips_by_length


class Features(NamedTuple):
    """What an encoder returns."""

    stages: list[Tensor]  # shallow to deep, each [B, T, ...]; T may differ
    frames: list[Tensor] | None  # of every clip, [B] a stage; None: no clip is padded


class Encoder(nn.Module):
    """Base of the networks that a deep feature loss compares speech with.

    A subclass has `forward(waveforms, lengths=None) -> Features`. Padding must not
    change what it returns for the frames of a clip. One that can't promise that is a
    `PlainEncoder`.

    Attributes
    ----------
    sample_rate : int or None
        Rate of the waveforms in Hz; None for any.
    pretrained : bool
        Whether the weights come from elsewhere each time it is built. Checkpoints then
        hold a checksum of them instead.
    """

    sample_rate: int | None = None
    pretrained: bool = False

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Features:
        """Return the features.

        Arguments
        ---------
        waveforms : Tensor
            `[B, samples]`, zero behind each clip's end.
        lengths : Tensor, optional
            SpeechBrain's relative lengths, `[B]`; None where no clip is padded.
        """
        raise TypeError(f"{type(self).__name__} has no forward(waveforms, lengths).")


class PlainEncoder(Encoder):
    """Any network as an encoder, in one line: `PlainEncoder(network)`.

    It may mix a clip's end with its padding, as normalisation over time and
    bidirectional layers do. So clips of different lengths go through it one length at
    a time, and never see padding.

    Arguments
    ---------
    network : nn.Module
        Waveforms `[B, samples]` to features `[B, T, ...]`, time on dim 1, or to a list
        of them, shallow to deep.

    Raises
    ------
    TypeError
        When `network` is no module.

    Example
    -------
    >>> class Spectrum(nn.Module):
    ...     def forward(self, waveforms):
    ...         frames = waveforms.unfold(1, 64, 32)
    ...         return torch.fft.rfft(frames).abs().add(1e-3).log()
    >>> encoder = PlainEncoder(Spectrum())
    >>> [list(stage.shape) for stage in encoder(torch.randn(2, 1600)).stages]
    [[2, 49, 33]]
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        if not isinstance(network, nn.Module):
            raise TypeError(f"network is a {type(network).__name__}, not a module.")
        self.network = network

    def stages(self, waveforms: Tensor) -> list[Tensor]:
        """Return the features of clips of one length, shallow to deep."""
        features = self.network(waveforms)
        return [features] if isinstance(features, Tensor) else list(features)

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Features:
        """Return the features, see `Encoder`."""
        if lengths is None:
            return Features(self.stages(waveforms), None)
        groups = clips_by_length(waveforms, lengths)
        if len(groups) > 1:
            warnings.warn(
                f"{type(self).__name__}: padded clips go through it one length at a "
                "time, in up to as many passes as a batch has clips. Crops of one "
                "length need one pass.",
                stacklevel=4,
            )
        clips: list[list[Tensor]] = [[] for _ in waveforms]
        for count, group in groups.items():
            for stage in self.stages(waveforms[group, :count]):
                for i, features in zip(group, stage, strict=True):
                    clips[i].append(features)
        every = list(zip(*clips, strict=True))  # by stage
        frames = [[len(x) for x in stage] for stage in every]
        return Features(
            [pad_sequence(stage, batch_first=True) for stage in every],
            list(torch.tensor(frames, device=waveforms.device)),
        )


class Enhancer(nn.Module):
    """Base of the models that `MALBrain` trains.

    A subclass has `enhance`, and an `encoder` that shares the model's weights: the
    first half of the computation, up to the bottleneck.

    Attributes
    ----------
    encoder : Encoder
        For `ModelAsLoss`, and for freezing.
    sample_rate : int or None
        Rate of the waveforms in Hz; None for any.
    """

    encoder: Encoder
    sample_rate: int | None = None

    def enhance(
        self, noisy: Tensor, lengths: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return enhanced `[B, samples]`, aligned, and further outputs by name.

        The further outputs are what a loss asks for by its attribute `inputs`, such as
        the `local_snr` of DeepFilterNet2; most models have none: `{}`.
        """
        raise TypeError(f"{type(self).__name__} has no enhance(noisy, lengths).")

    def forward(
        self,
        noisy: Tensor,
        lengths: Tensor | None = None,
        return_outputs: bool = False,
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Enhance a batch of waveforms.

        Arguments
        ---------
        noisy : Tensor
            `[B, samples]`, zero behind each clip's end.
        lengths : Tensor, optional
            SpeechBrain's relative lengths, `[B]`.
        return_outputs : bool
            Return the model's further outputs, too.

        Returns
        -------
        enhanced : Tensor
            `[B, samples]`, aligned with `noisy` to the sample.
        outputs : dict
            Only with `return_outputs`.
        """
        enhanced, outputs = self.enhance(noisy, lengths)
        return (enhanced, outputs) if return_outputs else enhanced


def freeze(module: nn.Module) -> nn.Module:
    """Freeze a network that a gradient flows through: all that is frozen comes here.

    No weight gets a gradient, nothing drops out, no statistic moves. `module.train()`
    undoes that, so whoever holds a frozen network calls this again after it.

    Arguments
    ---------
    module : nn.Module
        Frozen in place.

    Returns
    -------
    nn.Module
        The same module.

    Example
    -------
    >>> network = freeze(nn.Sequential(nn.GRU(4, 4, 2, dropout=0.5), nn.BatchNorm1d(4)))
    >>> [part.training for part in network], network[0].dropout
    ([True, False], 0.0)
    """
    module.requires_grad_(False).eval()
    for part in module.modules():
        if isinstance(part, nn.RNNBase):
            # cuDNN keeps what an RNN's backward pass needs in training mode alone:
            # "cudnn RNN backward can only be called in training mode", also where the
            # gradient only flows through, to the input. On a CPU nothing tells. Of
            # an RNN's two modes dropout is the only difference, so it has none.
            part.training, part.dropout = True, 0.0
            part.flatten_parameters()  # a deep copy's weights lie apart
    return module
