"""A loss beside a main loss: scaled, weighted, added, in one line of any recipe."""

import math
from collections.abc import Callable
from typing import Any

import torch
from speechbrain.utils.distributed import is_distributed_initialized
from torch import Tensor, nn

from speechbrain_mal.losses.model_as_loss import ModelAsLoss


class AuxiliaryLoss(nn.Module):
    """`main + weight * scale * loss`.

    In `compute_objectives` of any recipe, once its own loss is known::

        loss = self.hparams.mal(
            loss, enhanced, clean, lengths, epoch=epoch, step=self.optimizer_step
        )

    The first training batch copies the model's encoder into the loss and sets the
    scale. Give the module to the checkpointer, so that a resumed run keeps both. It
    follows the waveforms to their device.

    The paper adds its term "in equal proportion", which can mean two things:

    * `balance="magnitude"`: the scale makes `loss` as large as the main loss is in the
      first training batch, and stays. The L1 distance of embeddings is a small fraction
      of L_df, and would hardly weigh without it. It is positive even where the main
      loss is negative, as a loss in dB (SI-SNR) is; the size of such a loss says little
      near 0 dB, so choose `weight` there.
    * `balance="coefficient"`: the scale is 1.

    Arguments
    ---------
    loss : callable
        `loss(enhanced, clean, lengths)`: a module such as `ModelAsLoss`, or a function.
    weight : float
        What is then 1 by default.
    balance : str
        "magnitude" or "coefficient".

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
        if balance not in ("magnitude", "coefficient"):
            raise ValueError(
                f"balance is 'magnitude' or 'coefficient', not {balance!r}."
            )
        self.loss = as_module(loss)
        self.weight, self.balance = float(weight), balance
        self.scale: float | None = None  # not set yet

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
        elif self.scale is None:
            return main
        return main + self.scaled(self.loss(enhanced, clean, lengths), main)

    def at(self, epoch: int | None = None, step: int | None = None) -> None:
        """Say where training is, before a training batch, see `ModelAsLoss.at`."""
        if isinstance(self.loss, ModelAsLoss):
            self.loss.at(epoch, step)

    def forget(self) -> None:
        """Begin anew: the next training batch copies the encoder, and sets the scale.

        A model that was loaded since then is followed from what it is now.
        """
        self.scale = None
        if isinstance(self.loss, ModelAsLoss):
            self.loss.forget()

    def scaled(self, value: Tensor, main: Tensor) -> Tensor:
        """Return the loss's value as it is added to the main loss's."""
        if self.scale is None:
            self.scale = self._first_scale(value.detach(), main.detach())
        return self.weight * self.scale * value

    def _first_scale(self, value: Tensor, main: Tensor) -> float:
        if self.balance == "coefficient":
            return 1.0
        values = torch.stack([value, main])
        if is_distributed_initialized():
            torch.distributed.all_reduce(values)  # every process has to scale alike
        value, main = values.tolist()
        scale = abs(main / value) if value else math.inf
        if not 0 < scale < math.inf:
            raise ValueError(
                f"The auxiliary loss is {value} where the main loss is {main}: there "
                "is no scale to make them equal. Choose balance: coefficient, or see "
                "what the loss compares."
            )
        return scale

    def get_extra_state(self) -> dict[str, Any]:
        """Return the scale, for the state dict."""
        return {"scale": self.scale}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self.scale = state["scale"]


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
