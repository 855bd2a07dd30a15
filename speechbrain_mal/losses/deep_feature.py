"""Deep feature loss: a frozen network measures the enhanced speech.

The network sees the clean and the enhanced waveform, and the loss is the distance of
its features (F. G. Germain, Q. Chen, V. Koltun, "Speech denoising with deep feature
losses", Interspeech 2019). Which network makes the loss what it is: a pre-trained one,
one with random weights, a filter bank, or the model's own encoder (`ModelAsLoss`).
"""

import zlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from speechbrain_mal.contracts import Encoder, freeze
from speechbrain_mal.lengths import mean_over_clips, silence_padding

SILENT = 1e-8  # a layer whose mean is below it is not scaled up any further


class DeepFeatureLoss(nn.Module):
    """Distance between a frozen network's features of clean and enhanced speech.

    No gradient reaches the network's weights, and nothing in it moves (see `freeze`).
    The gradient flows through the enhanced waveform. Features are computed in float32,
    inside autocast too. The state dict holds a `pretrained` encoder as a checksum.

    Arguments
    ---------
    encoder : Encoder
        The network, which is frozen in place (`ModelAsLoss` copies the model's). A
        plain module needs a wrapper, `PlainEncoder(network)`.
    layers : sequence of int
        Which of the encoder's stages to compare, as indices. Default: the deepest.
    distance : str
        "l1", the paper's absolute distance, or "mse", the squared one.
    reduction : str
        Over the features of a frame: "mean", or "sum", the norm as the paper writes
        it. Frames, clips and layers are averaged.
    normalize : bool
        Divide each layer's distance by the size of the batch's clean features: the
        loss keeps its size while an encoder's features grow or shrink.

    Raises
    ------
    TypeError, ValueError
        When an argument can't be; at the call, when shapes differ; when a state dict is
        loaded that was saved with another pre-trained network.
    IndexError
        At the first call, when the encoder has no such layer.

    Example
    -------
    >>> from speechbrain_mal.contracts import PlainEncoder
    >>> class Spectrum(nn.Module):
    ...     def forward(self, waveforms):
    ...         frames = waveforms.unfold(1, 64, 32)
    ...         return torch.fft.rfft(frames).abs().add(1e-3).log()
    >>> loss = DeepFeatureLoss(PlainEncoder(Spectrum()))
    >>> clean = torch.randn(2, 16000)
    >>> loss(clean, clean).item()
    0.0
    """

    encoder_changes = False  # once the loss is built

    def __init__(
        self,
        encoder: Encoder,
        layers: Sequence[int] = (-1,),
        distance: str = "l1",
        reduction: str = "mean",
        normalize: bool = False,
    ):
        super().__init__()
        if not isinstance(encoder, Encoder):
            raise TypeError(
                f"encoder is a {type(encoder).__name__}, not an Encoder. A network "
                "from waveforms to features becomes one by speechbrain_mal.contracts."
                "PlainEncoder(network); for a model's own encoder see "
                "docs/your_model.md."
            )
        listed = isinstance(layers, Sequence) and not isinstance(layers, str)
        if not listed or not layers or not all(isinstance(x, int) for x in layers):
            raise ValueError(
                "layers is a list of indices of the encoder's features, such as [-1] "
                f"for the deepest, not {layers!r}."
            )
        if distance not in ("l1", "mse"):
            raise ValueError(f"distance is 'l1' or 'mse', not {distance!r}.")
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction is 'mean' or 'sum', not {reduction!r}.")
        self.layers = tuple(layers)
        self.distance, self.reduction = distance, reduction
        self.normalize = normalize
        self.encoder = freeze(encoder)
        if encoder.pretrained and not self.encoder_changes:
            self.register_state_dict_post_hook(_weights_to_checksum)
            self.register_load_state_dict_pre_hook(_checksum_to_weights)

    def train(self, mode: bool = True) -> "DeepFeatureLoss":
        """Set the mode of the loss; its network stays frozen."""
        super().train(mode)
        freeze(self.encoder)
        return self

    def forward(
        self, enhanced: Tensor, clean: Tensor, lengths: Tensor | None = None
    ) -> Tensor:
        """Return the loss, a scalar; arguments as of every loss."""
        if clean.dim() != 2 or enhanced.shape != clean.shape:
            raise ValueError(
                f"enhanced is {list(enhanced.shape)} and clean {list(clean.shape)}: "
                "both have to be [B, samples], and equally long. Cut the longer one."
            )
        with torch.autocast(clean.device.type, enabled=False):
            enhanced, clean = enhanced.float(), clean.detach().float()
            enhanced, clean = silence_padding(lengths, enhanced, clean)
            # Nothing here asks for a gradient, so no graph is built. `no_grad` could
            # choose other kernels than the enhanced speech gets, and zero would not be
            # zero.
            targets, frames = self._features(clean, lengths)
            estimates, _ = self._features(enhanced, lengths)
            for layer, a, b in zip(self.layers, estimates, targets, strict=True):
                if b.dim() < 3 or a.shape != b.shape:
                    raise ValueError(
                        f"layers: stage {layer} of the encoder has features of shape "
                        f"{tuple(b.shape)} for clean and {tuple(a.shape)} for enhanced "
                        "speech; both have to be [B, T, ...], time on dim 1."
                    )
            if enhanced.requires_grad:
                self.observe(targets, frames)
            pairs = zip(estimates, targets, strict=True)
            layers = self._sizes([a - b for a, b in pairs], frames)
            if self.normalize:
                layers = layers / self._sizes(targets, frames).clamp_min(SILENT)
            return layers.mean()

    def observe(self, targets: list[Tensor], frames: list[Tensor | None]) -> None:
        """See a training batch's clean features and clips' frames; for subclasses."""

    def _features(
        self, waveforms: Tensor, lengths: Tensor | None
    ) -> tuple[list[Tensor], list[Tensor | None]]:
        """Return the chosen stages, and the frames of every clip in them."""
        stages, frames = self.encoder(waveforms, lengths)
        try:
            chosen = [stages[layer] for layer in self.layers]
        except IndexError:
            raise IndexError(
                f"layers {list(self.layers)}: the encoder returns {len(stages)} "
                f"stage(s), so an index is in [{-len(stages)}, {len(stages) - 1}]."
            ) from None
        return chosen, [frames[i] if frames else None for i in self.layers]

    def _sizes(self, stages: list[Tensor], frames: list[Tensor | None]) -> Tensor:
        """Size of each layer's features, a mean over clips, `[L]`."""
        size = torch.abs if self.distance == "l1" else torch.square
        sizes = []
        for features, counts in zip(stages, frames, strict=True):
            width = features[0, 0].numel() if self.reduction == "sum" else 1
            sizes.append(width * mean_over_clips(size(features), counts))
        return torch.stack(sizes)


def _weights_to_checksum(
    loss: DeepFeatureLoss, state: dict, prefix: str, metadata: Any
) -> None:
    """Put a checksum in the place of weights that are loaded anew with every loss."""
    for key in [key for key in state if key.startswith(f"{prefix}encoder.")]:
        del state[key]
    state[f"{prefix}encoder_checksum"] = _checksum(loss.encoder)


def _checksum_to_weights(
    loss: DeepFeatureLoss, state: dict, prefix: str, *others: Any
) -> None:
    """Check that they are the same, and put them back: loading is strict.

    A state dict that holds the weights loads, too.
    """
    saved = state.pop(f"{prefix}encoder_checksum", None)
    if saved is not None and int(saved) != int(_checksum(loss.encoder)):
        raise ValueError(
            f"{prefix}encoder: this {type(loss.encoder).__name__} has other weights "
            "than the one that the checkpoint was made with. Load the same network, "
            "or start a new run in another output_folder."
        )
    weights = loss.encoder.state_dict()
    state.update({f"{prefix}encoder.{key}": x for key, x in weights.items()})


def _checksum(module: nn.Module) -> Tensor:
    """Return the CRC-32 of a module's state dict."""
    value = 0
    for key, tensor in module.state_dict().items():
        data = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        value = zlib.crc32(data.numpy(), zlib.crc32(key.encode(), value))
    return torch.tensor(value)
