"""A loss beside a main loss: scaled, weighted, added, in one line of any recipe."""

import math
from collections.abc import Callable
from typing import Any

import torch
from speechbrain.utils.distributed import is_distributed_initialized
from torch import Tensor, nn

from speechbrain_mal.losses.model_as_loss import ModelAsLoss

BALANCES = ("magnitude", "magnitude_once", "coefficient")


class AuxiliaryLoss(nn.Module):
    """`main + weight * scale * loss`.

    In `compute_objectives` of any recipe, once its own loss is known::

        loss = self.hparams.mal(
            loss, enhanced, clean, lengths, epoch=epoch, step=self.optimizer_step
        )

    The first training batch copies the model's encoder into the loss and sets the
    scale. Give the module to the checkpointer, so that a resumed run keeps both. It
    follows the waveforms to their device.

    The paper adds its term "in equal proportion". The L1 distance of embeddings is a
    small fraction of L_df, and with equal coefficients would hardly weigh, so by
    default the two are equally large:

    * `balance="magnitude"`: the scale makes `loss` as large as the main loss is in the
      first training batch, and anew whenever the MAL-encoder has changed: features of a
      refreshed encoder may be many times as large (experiments/balance.py).
    * `balance="magnitude_once"`: it is set in the first training batch, and stays. Only
      for encoders that are trained already.
    * `balance="coefficient"`: the scale is 1.

    A scale is positive even where the main loss is negative, as a loss in dB (SI-SNR)
    is; the size of such a loss says little near 0 dB, so choose `weight` there.

    Arguments
    ---------
    loss : callable
        `loss(enhanced, clean, lengths)`: a module such as `ModelAsLoss`, or a function.
    weight : float
        Of the scaled loss.
    balance : str
        "magnitude", "magnitude_once" or "coefficient".

    Raises
    ------
    ValueError
        When `balance` is unknown; at the first batch, when no scale exists.

    Example
    -------
    >>> from speechbrain_mal import DeepFilterNet2, ModelAsLoss
    >>> model = DeepFilterNet2(16000, channels=8, embedding_size=32, df_hidden_size=32)
    >>> auxiliary = AuxiliaryLoss(ModelAsLoss(model.encoder, refresh="epoch"))
    >>> clean = torch.randn(2, 16000)
    >>> enhanced = model(clean + 0.1 * torch.randn(2, 16000))
    >>> main = (enhanced - clean).abs().mean()
    >>> loss = auxiliary(main, enhanced, clean, epoch=1)  # at first twice as large
    >>> torch.allclose(loss, 2 * main)
    True
    """

    def __init__(self, loss: Callable, weight: float = 1.0, balance: str = "magnitude"):
        super().__init__()
        if balance not in BALANCES:
            raise ValueError(f"balance is one of {BALANCES}, not {balance!r}.")
        self.loss = as_module(loss)
        self.weight, self.balance = float(weight), balance
        self.scale: Tensor | None = None  # not set yet
        self._started = False

    def forward(
        self,
        main: Tensor,
        enhanced: Tensor,
        clean: Tensor,
        lengths: Tensor | None = None,
        epoch: int | None = None,
        step: int | None = None,
    ) -> Tensor:
        """Return the main loss with this one added, a scalar.

        Arguments
        ---------
        main : Tensor
            The recipe's own loss, a scalar.
        enhanced, clean : Tensor
            `[B, samples]`; the gradient flows into `enhanced`.
        lengths : Tensor, optional
            SpeechBrain's relative lengths, `[B]`.
        epoch, step : int, optional
            Where training is, see `ModelAsLoss.at`. Before the first training batch
            the main loss is returned as it is.
        """
        self.to(enhanced.device)
        if enhanced.requires_grad:
            self.at(epoch, step)
        elif not self._started:
            return main
        return main + self.scaled(self.loss(enhanced, clean, lengths), main)

    def at(self, epoch: int | None = None, step: int | None = None) -> None:
        """Say where training is, before a training batch, see `ModelAsLoss.at`."""
        if isinstance(self.loss, ModelAsLoss):
            changed = self.loss.at(epoch, step)
            if changed and self.balance == "magnitude":
                self.scale = None

    def forget(self) -> None:
        """Begin anew: the next training batch copies the encoder, and sets the scale.

        A model that was loaded since then is followed from what it is now.
        """
        self.scale, self._started = None, False
        if isinstance(self.loss, ModelAsLoss):
            self.loss.forget()

    def scaled(self, value: Tensor, main: Tensor) -> Tensor:
        """Return the loss's value as it is added to the main loss's."""
        if self.scale is None:
            self.scale = self._equal_scale(value.detach(), main.detach())
            if not self._started:  # the only look at its value: on a device, a wait
                self._check(value.item(), main.item())
                self._started = True
        return self.weight * self.scale * value

    def _equal_scale(self, value: Tensor, main: Tensor) -> Tensor:
        if self.balance == "coefficient":
            return torch.ones_like(value)
        values = torch.stack([value, main])
        if is_distributed_initialized():
            torch.distributed.all_reduce(values)  # every process has to scale alike
        value, main = values.abs()
        return main / value.clamp_min(torch.finfo(value.dtype).tiny)

    def _check(self, value: float, main: float) -> None:
        if self.balance == "coefficient":
            return
        if not (value and main and math.isfinite(main / value)):
            raise ValueError(
                f"The auxiliary loss is {value} where the main loss is {main}: there "
                "is no scale to make them equal. Choose balance: coefficient, or see "
                "what the loss compares."
            )

    def get_extra_state(self) -> dict[str, Any]:
        """Return the scale, for the state dict."""
        scale = None if self.scale is None else self.scale.cpu()
        return {"scale": scale, "started": self._started}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self.scale, self._started = state["scale"], state["started"]


class FunctionLoss(nn.Module):
    """A function as a loss: `function(enhanced, clean, lengths)`."""

    def __init__(self, function: Callable):
        super().__init__()
        self.function = function

    def forward(
        self, enhanced: Tensor, clean: Tensor, lengths: Tensor | None = None
    ) -> Tensor:
        """Return what the function returns, a scalar."""
        return self.function(enhanced, clean, lengths)


def as_module(loss: Callable) -> nn.Module:
    """Return a loss as a module, whether it is one or a function."""
    return loss if isinstance(loss, nn.Module) else FunctionLoss(loss)
