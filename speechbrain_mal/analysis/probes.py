"""Is a network's feature space fit to be a loss? FINALLY's two probes.

N. Babaev et al., "FINALLY: fast and universal speech enhancement with studio-like
quality", NeurIPS 2024: features that make a good loss move away from clean speech as
the noise grows, and keep repetitions of a sound together, apart from other sounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from scipy.cluster.hierarchy import fcluster, linkage
from torch import Tensor

if TYPE_CHECKING:
    from speechbrain_mal.contracts import Encoder


@torch.no_grad()
def distances_by_snr(
    loss: Callable[[Tensor, Tensor], Tensor],
    clean: Tensor,
    noise: Tensor,
    snrs: Sequence[float],
) -> Tensor:
    """Return the loss of clean speech with noise at each SNR in dB, `[len(snrs)]`.

    The probe is passed when it grows as the SNR falls. `loss(noisy, clean)` gives a
    scalar, as `ModelAsLoss` does; clean speech and noise, scaled clip by clip, are
    `[B, samples]`.

    Example
    -------
    >>> clean, noise = torch.randn(2, 2, 16000)
    >>> mse = lambda noisy, clean: (noisy - clean).square().mean()
    >>> distances = distances_by_snr(mse, clean, noise, snrs=[20, 10, 0])
    >>> bool((distances.diff() > 0).all())
    True
    """
    level = clean.square().mean(1, keepdim=True) / noise.square().mean(1, keepdim=True)
    gains = [(level * 10 ** (-snr / 10)).sqrt() for snr in snrs]
    return torch.stack([loss(clean + gain * noise, clean) for gain in gains])


@torch.no_grad()
def rand_index(
    encoder: Encoder, waveforms: Tensor, sounds: Sequence[int], layer: int = -1
) -> float:
    """Return how well clusters of the features agree with the sounds, in [0, 1].

    Each clip's features, averaged over time, are put into as many clusters as there are
    sounds (Ward's linkage). The Rand index is the share of pairs of clips that are
    together in both, or apart in both; 1 passes the probe.

    Arguments
    ---------
    encoder : Encoder
        Waveforms to features.
    waveforms : Tensor
        `[B, samples]`, repetitions of some sounds.
    sounds : sequence of int
        Which sound each clip is.
    layer : int
        Which of the encoder's features.

    Raises
    ------
    ValueError
        When there are not as many labels as clips, or fewer than two sounds.

    Example
    -------
    >>> tones = torch.tensor([[200.0], [900.0], [200.0], [900.0]])
    >>> waveforms = torch.sin(2 * torch.pi * tones * torch.arange(4000) / 16000)
    >>> waveforms = waveforms + 0.01 * torch.randn(4, 4000)
    >>> from speechbrain_mal.models import FrontEnd, InputFeatures
    >>> bands = InputFeatures(FrontEnd(16000, n_fft=320, hop_length=160))
    >>> rand_index(bands, waveforms, sounds=[0, 1, 0, 1], layer=0)
    1.0
    """
    labels = torch.as_tensor(sounds)
    number = len(labels.unique())
    if len(labels) != len(waveforms) or number < 2:
        raise ValueError(
            f"sounds: {len(labels)} labels of {number} sound(s) for {len(waveforms)} "
            "clips; there has to be one a clip, and two sounds or more."
        )
    features = encoder(waveforms).stages[layer]
    points = features.flatten(2).mean(1).double().cpu().numpy()
    clusters = torch.as_tensor(fcluster(linkage(points, "ward"), number, "maxclust"))
    first, second = torch.combinations(torch.arange(len(labels))).T
    agree = (labels[first] == labels[second]) == (clusters[first] == clusters[second])
    return agree.double().mean().item()
