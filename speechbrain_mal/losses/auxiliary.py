"""A loss beside a main loss: scaled, weighted, added, in one line of any recipe."""

import math
from collections.abc import Callable
from typing import Any

import torch
from speechbrain.utils.distributed import is_distributed_initialized
from torch import Tensor, nn

from speechbrain_mal.losses.model_as_loss import ModelAsLoss

BALANCES = ("magnitude", "gradient", "magnitude_once", "coefficient")
GRADIENT_BATCHES = 16  # measured: experiments/gradients.py


class AuxiliaryLoss(nn.Module):
    """`main + weight * scale * loss`.

    In `compute_objectives` of any recipe, once its own loss is known::

        loss = self.hparams.mal(
            loss, enhanced, clean, lengths, epoch=epoch, step=self.optimizer_step
        )

    The first training batch copies the model's encoder into the loss and sets the
    scale. Give the module to the checkpointer, so that a resumed run keeps both.

    The paper adds its term "in equal proportion". Its distance is a small fraction of
    L_df, and would hardly weigh with equal coefficients, so `balance` scales it:

    * "magnitude": as large as the main loss in the first training batch, and anew
      whenever the MAL-encoder has changed, whose features may be many times as large
      then (experiments/balance.py).
    * "gradient": with an equally large gradient in the model's weights, in the mean of
      the 16 batches that follow each such change, of two more backward passes each.
    * "magnitude_once": set in the first training batch; for encoders that are trained.
    * "coefficient": the scale is 1.

    A scale is positive even where the main loss, in dB, is negative; near 0 dB its
    magnitude says little: balance gradients there.

    Arguments
    ---------
    loss : callable
        `loss(enhanced, clean, lengths)`: a module such as `ModelAsLoss`, or a function.
    weight, balance : float, str
        Of the scaled loss, and how it is scaled, see above.

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
        self.loss = loss
        self.weight, self.balance = float(weight), balance
        self.scale: Tensor | None = None  # not set yet
        self._sizes: list[Tensor] = []  # of both losses, a batch, while it is being set
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
        """Return the main loss, a scalar, with this one added.

        Before the first training batch it is returned as it is. `epoch` and `step` say
        where training is, see `ModelAsLoss.at`; other arguments as of every loss.
        """
        self.to(enhanced.device)
        if enhanced.requires_grad:
            self.at(epoch, step)
        elif not self._started:
            return main
        return main + self.scaled(self.loss(enhanced, clean, lengths), main)

    def at(self, epoch: int | None = None, step: int | None = None) -> None:
        """Say where training is, before a training batch, see `ModelAsLoss.at`."""
        if isinstance(self.loss, ModelAsLoss) and self.loss.at(epoch, step):
            if self.balance != "magnitude_once":
                self.scale, self._sizes = None, []

    def forget(self) -> None:
        """Begin anew: the next training batch copies the encoder, and sets the scale.

        A model that was loaded since then is followed from what it is now.
        """
        self.scale, self._sizes, self._started = None, [], False
        if isinstance(self.loss, ModelAsLoss):
            self.loss.forget()

    def scaled(self, value: Tensor, main: Tensor) -> Tensor:
        """Return the loss's value as it is added to the main loss's."""
        if self.balance == "coefficient":
            self._started = True
            return self.weight * value
        more = self.balance == "gradient" and len(self._sizes) < GRADIENT_BATCHES
        if self.scale is None or (more and main.requires_grad):
            self._sizes.append(self._sizes_of(value, main))
            own, mains = torch.stack([x.to(value.device) for x in self._sizes]).mean(0)
            self.scale = mains / own.clamp_min(torch.finfo(own.dtype).tiny)
            if not self._started:  # the only look at its value: on a device, a wait
                self._check(own.item(), mains.item())
            self._started = True
        return self.weight * self.scale * value

    def _sizes_of(self, *losses: Tensor) -> Tensor:
        """Return what is to be equal of the losses, in all processes' batches."""
        sizes = [loss.detach() for loss in losses]
        if self.balance == "gradient":
            weights = _leaves(losses[-1])
            sizes = [_gradient_norm(loss, weights) for loss in losses]
        sizes = torch.stack(sizes)
        if is_distributed_initialized():
            torch.distributed.all_reduce(sizes)  # every process has to scale alike
        return sizes.abs()

    def _check(self, own: float, mains: float) -> None:
        if not (own and mains and math.isfinite(mains / own)):
            raise ValueError(
                f"The auxiliary loss's {self.balance} is {own} where the main loss's "
                f"is {mains}: there is no scale to make them equal. Choose balance: "
                "coefficient, or see what the loss compares."
            )

    def get_extra_state(self) -> dict[str, Any]:
        """Return the scale, for the state dict."""
        scale = None if self.scale is None else self.scale.cpu()
        sizes = [size.cpu() for size in self._sizes]
        return {"scale": scale, "sizes": sizes, "started": self._started}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self.scale, self._started = state["scale"], state["started"]
        self._sizes = state["sizes"]


def _leaves(loss: Tensor) -> list[Tensor]:
    """Return what a loss's gradient ends in, the weights that train."""
    found, seen, waiting = [], set(), [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            if hasattr(node, "variable"):
                found.append(node.variable)
            waiting += [parent for parent, _ in node.next_functions]
    return found


def _gradient_norm(loss: Tensor, weights: list[Tensor]) -> Tensor:
    # None of it reaches a weight's `grad`, nor DDP.
    options = {"retain_graph": True, "allow_unused": True}
    gradients = torch.autograd.grad(loss, weights, **options)
    norms = [x.float().norm() for x in gradients if x is not None]
    return torch.stack(norms).norm()
