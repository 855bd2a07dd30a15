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
from speechbrain_mal.losses.deep_feature import DeepFeatureLoss
from speechbrain_mal.watch import CollapseGuard

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
        When an argument is out of its range; see `DeepFeatureLoss`, too.
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
        self._seen: int | None = None  # the number that `refresh` goes by
        self._averaged = 1  # encoders in the running average

    def at(self, epoch: int | None = None, step: int | None = None) -> bool:
        """Say where training is; return whether the MAL-encoder has changed.

        Call it before every training batch. The first call copies the encoder.

        Arguments
        ---------
        epoch : int, optional
            Number of the epoch; needed by refresh "epoch".
        step : int, optional
            Steps that the optimizer has taken, `brain.optimizer_step`; needed by
            refresh "batch" and "ema".
        """
        needed = {"never": 0, "epoch": epoch}.get(self.refresh_at, step)
        if needed is None:
            number = "epoch" if self.refresh_at == "epoch" else "step"
            raise ValueError(
                f"refresh: {self.refresh_at} needs at({number}=...), the number of "
                f"{number}s so far."
            )
        seen, self._seen = self._seen, needed
        if seen == needed:
            return False
        self.refresh(average=self.refresh_at == "ema" and seen is not None)
        return True

    def forget(self) -> None:
        """Begin anew: the next call of `at` copies the encoder, whatever `refresh`."""
        self._seen = None

    def observe(self, targets: list[Tensor], frames: list[Tensor | None]) -> None:
        """Watch the variance of the clean features of a training batch."""
        self.guard(targets, frames)

    @torch.no_grad()
    def refresh(self, average: bool = False) -> None:
        """Copy the live encoder's weights and statistics into the MAL-encoder.

        With `average` they are taken into the running average of the encoders since
        the last copy, where the one `n` steps ago weighs `decay ** n`, normalised to 1
        (bias correction), so that the first does not count for more than its share.
        """
        live = self._live_weights()
        if average:
            self._averaged += 1
            share = (1 - self.decay) / (1 - self.decay**self._averaged)
            ours = self.encoder.state_dict()
            floats = [name for name, x in ours.items() if x.is_floating_point()]
            every = ([weights[name] for name in floats] for weights in (ours, live))
            torch._foreach_lerp_(*every, share)
            for name in ours.keys() - set(floats):  # BatchNorm's count of batches
                ours[name].copy_(live[name])
        else:
            self._averaged = 1
            self.encoder.load_state_dict(live)
        broadcast_buffers(self.encoder)

    def get_extra_state(self) -> dict[str, Any]:
        """Return where training was, for the state dict."""
        return {"seen": self._seen, "averaged": self._averaged}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self._seen, self._averaged = state["seen"], state["averaged"]
