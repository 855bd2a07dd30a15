"""Model as Loss: the enhancement model's own encoder measures its output.

`L_mal = || Enc(clean) - Enc(enhanced) ||_1` (S. R. Phaye, M. Cernak, A. Harper, "Model
as Loss: A Self-Consistent Training Paradigm", Interspeech 2025).
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechbrain_mal.losses.lengths import inside, mean_over_clips, sample_counts


class ModelAsLoss(nn.Module):
    """Distance between features of the clean and the enhanced speech.

    The features are those of the MAL-encoder, a frozen copy of `encoder`: no gradient
    reaches its weights, its normalisation statistics never move, and it changes only
    where `refresh` is called. The gradient flows through the enhanced waveform.

    Who calls `refresh`, and when, makes the paper's variants: never (frozen, and
    frozen-fe where the model's encoder is frozen too), after every epoch (dynamic),
    before every batch (dynamic per batch).

    Arguments
    ---------
    encoder : nn.Module
        Waveforms `[B, samples]` to features with time on dim 1, `[B, T, ...]`, or to
        a list of such tensors, shallow to deep. It is shared with the model, and not
        a submodule of this loss. An encoder with a method `frames(waveforms, lengths)`,
        the frames of every clip `[B]`, handles padding itself: it is called with
        `(waveforms, lengths)`, and padding must not change what it returns for the
        frames of a clip. Any other encoder is given padded clips one at a time.
    layers : sequence of int
        Which of the encoder's features to compare, as indices into its list. The
        paper says "bottleneck": the deepest, by default.
    reduction : str
        Over the features of a frame: "mean", by default, makes the value independent
        of the layer's width; "sum" is the norm as the paper writes it. Frames,
        clips and layers are averaged.

    Raises
    ------
    ValueError
        When `layers` is empty or `reduction` unknown.
    IndexError
        When the encoder has no such layer (at the first call).

    Example
    -------
    >>> from speechbrain_mal.models import DeepFilterNet2
    >>> model = DeepFilterNet2(16000, channels=8, embedding_size=32, df_hidden_size=32)
    >>> mal = ModelAsLoss(model.encoder)
    >>> clean = torch.randn(2, 16000)
    >>> enhanced = model(clean + 0.1 * torch.randn(2, 16000))
    >>> loss = mal(enhanced, clean)
    >>> loss.backward()
    >>> mal(clean, clean).item()
    0.0
    """

    def __init__(
        self,
        encoder: nn.Module,
        layers: Sequence[int] = (-1,),
        reduction: str = "mean",
    ):
        super().__init__()
        if not layers:
            raise ValueError("layers is empty: name at least one, such as [-1].")
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction is 'mean' or 'sum', not {reduction!r}.")
        self.layers = tuple(layers)
        self.reduction = reduction
        self._live = (encoder,)  # a tuple hides it from this module's parameters
        self.encoder = copy.deepcopy(encoder).requires_grad_(False).eval()

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the live encoder's weights and statistics into the MAL-encoder."""
        self.encoder.load_state_dict(self._live[0].state_dict())

    def train(self, mode: bool = True) -> "ModelAsLoss":
        """Set the mode of the loss; the MAL-encoder stays in evaluation mode."""
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
        counts = sample_counts(clean, lengths)
        mask = inside(counts, clean.shape[1])
        with torch.autocast(clean.device.type, enabled=False):
            enhanced = torch.where(mask, enhanced.float(), 0.0)
            clean = torch.where(mask, clean.float(), 0.0)
            whole = lengths is None or bool((counts == clean.shape[1]).all())
            if whole or hasattr(self.encoder, "frames"):
                return self._distance(enhanced, clean, None if whole else lengths)
            values = [
                self._distance(enhanced[i : i + 1, :n], clean[i : i + 1, :n])
                for i, n in enumerate(counts.tolist())
            ]
            return torch.stack(values).mean()

    def _distance(
        self, enhanced: Tensor, clean: Tensor, lengths: Tensor | None = None
    ) -> Tensor:
        """Distance of clips that fill the batch, or whose encoder takes lengths."""
        # Nothing here asks for a gradient, so no graph is built. `no_grad` could choose
        # other kernels than the enhanced speech gets, and zero would not be zero.
        targets = self._features(clean.detach(), lengths)
        estimates = self._features(enhanced, lengths)
        batch = clean.shape[0]
        terms = []
        for estimate, target in zip(estimates, targets, strict=True):
            frames = torch.full((batch,), target.shape[1], device=clean.device)
            if lengths is not None:
                frames = self.encoder.frames(clean, lengths)
            error = (estimate - target).abs().flatten(2)
            error = error.sum(-1) if self.reduction == "sum" else error.mean(-1)
            terms.append(mean_over_clips(error, frames))
        return torch.stack(terms).mean()

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
