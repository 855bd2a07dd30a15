"""Model as Loss: the enhancement model's own encoder measures its output.

`L_mal = || Enc(clean) - Enc(enhanced) ||_1` (S. R. Phaye, M. Cernak, A. Harper, "Model
as Loss: A Self-Consistent Training Paradigm", Interspeech 2025).
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechbrain_mal.losses.collapse import CollapseGuard, clip_variances
from speechbrain_mal.losses.deep_feature import DeepFeatureLoss
from speechbrain_mal.losses.distributed import broadcast_buffers


class ModelAsLoss(DeepFeatureLoss):
    """Distance between the model's own features of the clean and the enhanced speech.

    The features are those of the MAL-encoder, a frozen copy of `encoder`: no gradient
    reaches its weights, its normalisation statistics never move, and it changes only
    where `refresh` or `average` is called. The gradient flows through the enhanced
    waveform.

    Who calls them, and when, makes the variants: nobody (the paper's frozen, and
    frozen-fe where the model's encoder is frozen too), `refresh` after every epoch
    (dynamic) or before every batch (dynamic per batch), `average` after every step
    (ema).

    Arguments
    ---------
    encoder : nn.Module
        The model's encoder, as `DeepFeatureLoss` takes it. It is shared with the model,
        and not a submodule of this loss.
    layers, distance, reduction, normalize
        As of `DeepFeatureLoss`. The paper says "bottleneck": the deepest layer, by
        default, and the absolute distance.
    decay : float
        Share of the past that `average` keeps, in [0, 1).
    collapse_below : float
        Smallest variance of the clean features, relative to the first training
        batch's, that is no error (see `CollapseGuard`); 0 for none.

    Raises
    ------
    ValueError
        When `decay` or `collapse_below` is not in [0, 1), and as `DeepFeatureLoss`
        does.
    FeatureCollapseError
        When training makes the clean features collapse.

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

    encoder_changes = True

    def __init__(
        self,
        encoder: nn.Module,
        layers: Sequence[int] = (-1,),
        distance: str = "l1",
        reduction: str = "mean",
        normalize: bool = False,
        decay: float = 0.999,
        collapse_below: float = 0.1,
    ):
        if not 0 <= decay < 1:
            raise ValueError(f"decay is in [0, 1), not {decay}.")
        frozen = copy.deepcopy(encoder)
        super().__init__(frozen, layers, distance, reduction, normalize)
        self.decay = decay
        self.guard = CollapseGuard(len(self.layers), collapse_below)
        self._live = (encoder,)  # a tuple hides it from this module's parameters
        self.register_buffer("averaged", torch.ones((), dtype=torch.long))

    @property
    def relative_variance(self) -> float:
        """Variance of the clean features relative to the start of training."""
        return self.guard.relative_variance

    def forward(
        self, enhanced: Tensor, clean: Tensor, lengths: Tensor | None = None
    ) -> Tensor:
        """Return the loss, a scalar; arguments as of `DeepFeatureLoss`."""
        self._variances = []
        loss = super().forward(enhanced, clean, lengths)
        if enhanced.requires_grad:  # a training step
            self.guard(torch.cat(self._variances).mean(0))
        return loss

    @torch.no_grad()
    def _observe(self, targets: list[Tensor], frames: list[Tensor]) -> None:
        variances = map(clip_variances, targets, frames)
        self._variances.append(torch.stack(list(variances), dim=-1))

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the live encoder's weights and statistics into the MAL-encoder."""
        self.encoder.load_state_dict(self._live[0].state_dict())
        self.averaged.fill_(1)
        broadcast_buffers(self.encoder)

    @torch.no_grad()
    def average(self) -> None:
        """Take the live encoder into the MAL-encoder's running average.

        The average is over the encoders since the last `refresh`, that one included;
        the one `n` calls ago weighs `decay ** n`. Their weights are normalised to 1
        (bias correction), so that the first does not count for more than its share.
        """
        self.averaged += 1
        decay, number = self.decay, int(self.averaged)
        share = (1 - decay) / (1 - decay**number)  # of the live encoder
        live = self._live[0].state_dict()
        for name, value in self.encoder.state_dict().items():
            if value.is_floating_point():
                value.lerp_(live[name].to(value), share)
            else:  # BatchNorm's count of batches
                value.copy_(live[name])
        broadcast_buffers(self.encoder)
