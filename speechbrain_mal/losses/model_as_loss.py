"""Model as Loss: the enhancement model's own encoder measures its output.

`L_mal = || Enc(clean) - Enc(enhanced) ||_1` (S. R. Phaye, M. Cernak, A. Harper, "Model
as Loss: A Self-Consistent Training Paradigm", Interspeech 2025).
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from speechbrain_mal.contracts import Encoder
from speechbrain_mal.distributed import broadcast_buffers
from speechbrain_mal.losses.collapse import CollapseGuard, clip_variances
from speechbrain_mal.losses.deep_feature import DeepFeatureLoss

REFRESH = ("never", "epoch", "batch", "ema")


class ModelAsLoss(DeepFeatureLoss):
    """Distance between the model's own features of the clean and the enhanced speech.

    The features are those of the MAL-encoder, a frozen copy of `encoder`. Whoever
    trains says where training is, before each training batch: `at(epoch, step)`. When
    the copy then follows the model is `refresh`.

    Arguments
    ---------
    encoder : Encoder
        The model's encoder. It is shared with the model, and no part of this loss.
    refresh : str
        When the MAL-encoder is copied anew: "never" after the first call of `at` (the
        paper's frozen; and frozen-fe, where the model's encoder is frozen, too);
        "epoch", at the start of every epoch (dynamic); "batch", after every step of the
        optimizer (dynamic per batch; batches whose gradients make one step are one);
        "ema", a running average over the steps of the optimizer.
    layers, distance, reduction, normalize
        As of `DeepFeatureLoss`. The paper says "bottleneck": the deepest layer, by
        default, and the absolute distance.
    decay : float
        Share of the past that the running average keeps in a step, in [0, 1).
    collapse_below : float
        Smallest variance of the clean features, relative to the first training
        batch's, that is no error (see `CollapseGuard`); 0 for none.

    Raises
    ------
    ValueError
        When `refresh` is unknown, `decay` or `collapse_below` not in [0, 1), and as
        `DeepFeatureLoss` does.
    FeatureCollapseError
        When training makes the clean features collapse.

    Example
    -------
    >>> from speechbrain_mal.models import DeepFilterNet2
    >>> model = DeepFilterNet2(16000, channels=8, embedding_size=32, df_hidden_size=32)
    >>> mal = ModelAsLoss(model.encoder, refresh="epoch")
    >>> clean = torch.randn(2, 16000)
    >>> for epoch in (1, 2):
    ...     _ = mal.at(epoch=epoch)
    ...     enhanced = model(clean + 0.1 * torch.randn(2, 16000))
    ...     loss = mal(enhanced, clean)
    ...     loss.backward()
    >>> mal(clean, clean).item()
    0.0
    """

    encoder_changes = True

    def __init__(
        self,
        encoder: Encoder,
        refresh: str = "never",
        layers: Sequence[int] = (-1,),
        distance: str = "l1",
        reduction: str = "mean",
        normalize: bool = False,
        decay: float = 0.999,
        collapse_below: float = 0.1,
    ):
        if refresh not in REFRESH:
            raise ValueError(f"refresh is one of {REFRESH}, not {refresh!r}.")
        if not 0 <= decay < 1:
            raise ValueError(f"decay is in [0, 1), not {decay}.")
        frozen = copy.deepcopy(encoder)
        super().__init__(frozen, layers, distance, reduction, normalize)
        self.refresh_at, self.decay = refresh, decay
        self.guard = CollapseGuard(len(self.layers), collapse_below)
        self._live_weights = encoder.state_dict  # called: the weights as they are then
        self._seen: tuple[int | None, int | None] | None = None  # epoch, step
        self._averaged = 1  # encoders in the running average

    @property
    def relative_variance(self) -> Tensor:
        """Variance of the clean features relative to the start of training."""
        return self.guard.relative_variance

    def at(self, epoch: int | None = None, step: int | None = None) -> bool:
        """Say where training is; the MAL-encoder follows the model as `refresh` says.

        Call it before every training batch. The first call copies the encoder.

        Arguments
        ---------
        epoch : int, optional
            Number of the epoch; needed by refresh "epoch".
        step : int, optional
            Steps that the optimizer has taken, `brain.optimizer_step`; needed by
            refresh "batch" and "ema".

        Returns
        -------
        bool
            Whether the MAL-encoder has changed.

        Raises
        ------
        ValueError
            When the number that `refresh` needs is missing.
        """
        needed = {"never": 0, "epoch": epoch}.get(self.refresh_at, step)
        if needed is None:
            number = "epoch" if self.refresh_at == "epoch" else "step"
            raise ValueError(
                f"refresh: {self.refresh_at} needs at({number}=...), the number of "
                f"{number}s so far."
            )
        seen, self._seen = self._seen, (epoch, step)
        if seen is None:
            changed = True
        elif self.refresh_at == "epoch":
            changed = epoch != seen[0]
        else:
            changed = self.refresh_at != "never" and step != seen[1]
        if changed and self.refresh_at == "ema" and seen is not None:
            self._average()
        elif changed:
            self.refresh()
        return changed

    def forget(self) -> None:
        """Begin anew: the next call of `at` copies the encoder, whatever `refresh`."""
        self._seen = None

    def forward(
        self, enhanced: Tensor, clean: Tensor, lengths: Tensor | None = None
    ) -> Tensor:
        """Return the loss, a scalar; arguments as of `DeepFeatureLoss`."""
        self._training_step = enhanced.requires_grad
        return super().forward(enhanced, clean, lengths)

    @torch.no_grad()
    def observe(self, targets: list[Tensor], frames: list[Tensor | None]) -> None:
        """Watch the variance of the clean features of a training batch."""
        if self._training_step:
            variances = map(clip_variances, targets, frames)
            self.guard(torch.stack([every.mean() for every in variances]))

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the live encoder's weights and statistics into the MAL-encoder."""
        self.encoder.load_state_dict(self._live_weights())
        self._averaged = 1
        broadcast_buffers(self.encoder)

    @torch.no_grad()
    def _average(self) -> None:
        """Take the live encoder into the MAL-encoder's running average.

        The average is over the encoders since the first; the one `n` steps ago weighs
        `decay ** n`. Their weights are normalised to 1 (bias correction), so that the
        first does not count for more than its share.
        """
        self._averaged += 1
        share = (1 - self.decay) / (1 - self.decay**self._averaged)  # of the live one
        live = self._live_weights()
        averaged = self.encoder.state_dict()
        floats = [name for name, x in averaged.items() if x.is_floating_point()]
        torch._foreach_lerp_(
            [averaged[name] for name in floats], [live[name] for name in floats], share
        )
        for name in averaged.keys() - set(floats):  # BatchNorm's count of batches
            averaged[name].copy_(live[name])
        broadcast_buffers(self.encoder)

    def get_extra_state(self) -> dict[str, Any]:
        """Return where training was, for the state dict."""
        return {"seen": self._seen, "averaged": self._averaged}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self._seen = state["seen"] and tuple(state["seen"])
        self._averaged = state["averaged"]
