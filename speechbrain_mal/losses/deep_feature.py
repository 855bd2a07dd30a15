"""Deep feature loss: a frozen network measures the enhanced speech.

The network sees the clean and the enhanced waveform, and the loss is the distance of
its features (F. G. Germain, Q. Chen, V. Koltun, "Speech denoising with deep feature
losses", Interspeech 2019). Which network makes the loss what it is: a pre-trained one,
one with random weights, a filter bank, or the model's own encoder (`ModelAsLoss`).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechbrain_mal.losses.lengths import clip_means, inside, sample_counts
from speechbrain_mal.losses.pretrained import leave_out

SILENT = 1e-8  # a layer whose mean is below it is not scaled up any further


class DeepFeatureLoss(nn.Module):
    """Distance between a frozen network's features of clean and enhanced speech.

    No gradient reaches the network's weights, it stays in evaluation mode, and its
    normalisation statistics never move. The gradient flows through the enhanced
    waveform. Features are computed in float32, inside autocast too.

    Arguments
    ---------
    encoder : nn.Module
        Waveforms `[B, samples]` to features with time on dim 1, `[B, T, ...]`, or to
        a list of such tensors, shallow to deep. It is frozen in place; for the encoder
        of the model that trains, take `ModelAsLoss`, which copies it. An encoder with a
        method `frames(waveforms, lengths)`, the frames of every clip `[B]`, handles
        padding itself: it is called with `(waveforms, lengths)`, and padding must not
        change what it returns for the frames of a clip. Any other encoder is given
        padded clips one at a time. One with an attribute `pretrained` that is true has
        its weights from elsewhere: checkpoints hold a checksum of them instead.
    layers : sequence of int
        Which of the encoder's features to compare, as indices into its list. Default:
        the deepest.
    distance : str
        "l1", the paper's absolute distance, or "mse", the squared one.
    reduction : str
        Over the features of a frame: "mean", by default, makes the value independent
        of the layer's width; "sum" is the norm as the paper writes it. Frames,
        clips and layers are averaged.
    normalize : bool
        Divide each layer's distance by the size of the batch's clean features (their
        mean absolute, or mean squared value), so that no layer dominates.

    Raises
    ------
    TypeError
        When `encoder` is no module.
    ValueError
        When `layers` is no list of indices, or `distance` or `reduction` unknown; at
        the call, when the waveforms or the features have another shape for clean and
        enhanced, or the features no time axis.
    IndexError
        When the encoder has no such layer (at the first call).

    Example
    -------
    >>> class Spectrum(nn.Module):
    ...     def forward(self, waveforms):
    ...         window = torch.hann_window(64)
    ...         spectrum = torch.stft(waveforms, 64, window=window, return_complex=True)
    ...         return spectrum.abs().add(1e-3).log().transpose(1, 2)
    >>> loss = DeepFeatureLoss(Spectrum())
    >>> clean = torch.randn(2, 16000)
    >>> loss(clean, clean).item()
    0.0
    """

    encoder_changes = False  # once the loss is built

    def __init__(
        self,
        encoder: nn.Module,
        layers: Sequence[int] = (-1,),
        distance: str = "l1",
        reduction: str = "mean",
        normalize: bool = False,
    ):
        super().__init__()
        if not isinstance(encoder, nn.Module):
            raise TypeError(
                f"encoder is a {type(encoder).__name__}, not a torch module: a model "
                "that has none gets one from its parts, with speechbrain_mal.models."
                "TappedEnhancer (docs/your_model.md)."
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
        self.distance = distance
        self.reduction = reduction
        self.normalize = normalize
        self.encoder = encoder.requires_grad_(False).eval()
        if getattr(encoder, "pretrained", False) and not self.encoder_changes:
            leave_out(self, "encoder")

    def train(self, mode: bool = True) -> "DeepFeatureLoss":
        """Set the mode of the loss; its network stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(
        self, enhanced: Tensor, clean: Tensor, lengths: Tensor | None = None
    ) -> Tensor:
        """Return the loss, a scalar.

        Arguments
        ---------
        enhanced, clean : Tensor
            `[B, samples]`; the gradient flows into `enhanced`.
        lengths : Tensor, optional
            SpeechBrain's relative lengths, `[B]`: what lies beyond has no influence.
        """
        if clean.dim() != 2 or enhanced.shape != clean.shape:
            raise ValueError(
                f"enhanced is {list(enhanced.shape)} and clean {list(clean.shape)}: "
                "both have to be [B, samples], and equally long. Cut the longer one."
            )
        counts = sample_counts(clean, lengths)
        mask = inside(counts, clean.shape[1])
        with torch.autocast(clean.device.type, enabled=False):
            enhanced = torch.where(mask, enhanced.float(), 0.0)
            clean = torch.where(mask, clean.float(), 0.0)
            whole = lengths is None or bool((counts == clean.shape[1]).all())
            if whole or hasattr(self.encoder, "frames"):
                parts = [(enhanced, clean, None if whole else lengths)]
            else:
                parts = [
                    (enhanced[i : i + 1, :n], clean[i : i + 1, :n], None)
                    for i, n in enumerate(counts.tolist())
                ]
            compared = [self._compare(*part) for part in parts]
            layers = torch.cat([errors for errors, _ in compared]).mean(0)
            if self.normalize:
                sizes = torch.cat([sizes for _, sizes in compared]).mean(0)
                layers = layers / sizes.clamp_min(SILENT)
            return layers.mean()

    def _compare(
        self, enhanced: Tensor, clean: Tensor, lengths: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return each clip's and layer's error and size of clean features, `[B, L]`.

        The sizes are those that `normalize` asks for; without it they mean nothing.
        """
        # Nothing here asks for a gradient, so no graph is built. `no_grad` could choose
        # other kernels than the enhanced speech gets, and zero would not be zero.
        targets = self._features(clean.detach(), lengths)
        estimates = self._features(enhanced, lengths)
        for layer, estimate, target in zip(
            self.layers, estimates, targets, strict=True
        ):
            if target.dim() < 3 or estimate.shape != target.shape:
                raise ValueError(
                    f"layers: stage {layer} of the encoder has features of shape "
                    f"{tuple(target.shape)} for clean and {tuple(estimate.shape)} for "
                    "enhanced speech; both have to be [B, T, ...], time on dim 1."
                )
        frames = [self._frames(target, clean, lengths) for target in targets]
        self._observe(targets, frames)
        pairs = zip(estimates, targets, strict=True)
        errors = self._clip_sizes([a - b for a, b in pairs], frames)
        return errors, self._clip_sizes(targets, frames) if self.normalize else errors

    def _frames(self, target: Tensor, clean: Tensor, lengths: Tensor | None) -> Tensor:
        """Return the frames of every clip, `[B]`."""
        if lengths is not None:
            return self.encoder.frames(clean, lengths)
        return torch.full((clean.shape[0],), target.shape[1], device=clean.device)

    def _observe(self, targets: list[Tensor], frames: list[Tensor]) -> None:
        """See the clean features of a batch, or of one of its clips."""

    def _clip_sizes(self, stages: list[Tensor], frames: list[Tensor]) -> Tensor:
        """Size of every clip's features, `[B, L]`."""
        sizes = []
        for features, count in zip(stages, frames, strict=True):
            size = features.abs() if self.distance == "l1" else features.square()
            size = size.flatten(2)
            size = size.sum(-1) if self.reduction == "sum" else size.mean(-1)
            sizes.append(clip_means(size, count))
        return torch.stack(sizes, dim=-1)

    def _features(self, waveforms: Tensor, lengths: Tensor | None) -> list[Tensor]:
        inputs = (waveforms,) if lengths is None else (waveforms, lengths)
        features = self.encoder(*inputs)
        if isinstance(features, Tensor):
            features = [features]
        try:
            return [features[layer] for layer in self.layers]
        except IndexError:
            raise IndexError(
                f"layers {list(self.layers)}: the encoder returns {len(features)} "
                f"stage(s), so an index is in [{-len(features)}, {len(features) - 1}]."
            ) from None
