"""DeepFilterNet2 for inference: weights folded once, a faster GRU, blocks of frames.

What it buys on one CPU thread, as `benchmarks/inference.py` measures it, stands in
benchmarks/README.md.
"""

import copy

from speechbrain_mal.inference.gru import InferenceGRU
from speechbrain_mal.models.deepfilternet2 import DeepFilterNet2
from speechbrain_mal.models.gru import GRU
from speechbrain_mal.models.layers import ConvBlock, TransposedConvBlock

BLOCK_FRAMES = 300  # measured best: few calls, and what they pass on stays in the cache


def fold(model: DeepFilterNet2) -> DeepFilterNet2:
    """Return a faster copy for inference; linear layers and GRUs share their weights.

    A block's convolutions and its normalisation, which is linear in evaluation mode,
    become one convolution, computed once and not at every call.

    Arguments
    ---------
    model : DeepFilterNet2
        In evaluation mode; it is not changed.

    Returns
    -------
    DeepFilterNet2
        With the same output, up to rounding. It can't be trained.

    Raises
    ------
    ValueError
        When the model is in training mode: its normalisation is not linear then.

    Example
    -------
    >>> import torch
    >>> model = DeepFilterNet2(
    ...     sample_rate=16000, channels=8, embedding_size=32, df_hidden_size=32
    ... ).eval()
    >>> noisy = torch.randn(1, 4000)
    >>> torch.allclose(fold(model)(noisy), model(noisy), atol=1e-5)
    True
    """
    if model.training:
        raise ValueError("fold() takes a model in evaluation mode: call eval() first.")
    shared = [*model.parameters(), *model.buffers()]
    folded = copy.deepcopy(model, {id(tensor): tensor for tensor in shared})
    for module in list(folded.modules()):
        if isinstance(module, ConvBlock | TransposedConvBlock):
            module.fold()
        for name, child in module.named_children():
            if isinstance(child, GRU):
                setattr(module, name, InferenceGRU(child))
    folded.block_frames = BLOCK_FRAMES
    return folded
