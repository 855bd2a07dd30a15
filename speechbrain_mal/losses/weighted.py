"""Named loss terms and their weights, added up."""

import inspect
import math
from collections.abc import Mapping

import torch
from speechbrain.utils.distributed import is_distributed_initialized
from torch import Tensor, nn


class WeightedLoss(nn.Module):
    """Sum of named terms: the conventional ones, and those that phase two adds.

    The paper adds its term "in equal proportion", which can mean two things:

    * `balance="magnitude"` (default): each added term is scaled, once, so that at the
      start of phase two `weight * scale * term` is `weight` times as large as the
      conventional loss. The L1 distance of embeddings is a small fraction of L_df, and
      without the scale would hardly weigh. The scale is positive even where the
      conventional loss is negative, as a loss in dB (SI-SNR) is; what such a loss is
      near 0 dB says little of its size, so choose `weight` by its gradient.
    * `balance="coefficient"`: the scale stays 1.

    Arguments
    ---------
    conventional : mapping of str to nn.Module
        Terms of both phases, `loss(enhanced, clean, lengths)`. A term whose `forward`
        names further arguments, such as `noisy` or `local_snr`, is given them.
    added : mapping of str to nn.Module, optional
        Terms of phase two only.
    weights : mapping of str to float, optional
        Weight of a term, 1 where not given.
    balance : str
        "magnitude" or "coefficient".

    Raises
    ------
    ValueError
        When a weight names no term, a name is used twice, or `balance` is unknown.

    Example
    -------
    >>> class L1(nn.Module):
    ...     def forward(self, enhanced, clean, lengths=None):
    ...         return (enhanced - clean).abs().mean()
    >>> loss = WeightedLoss({"l1": L1()}, added={"tenth": L1()}, weights={"tenth": 0.1})
    >>> enhanced, clean = torch.ones(1, 8), torch.zeros(1, 8)
    >>> loss(enhanced, clean).item()
    1.0
    >>> loss.start_phase_two()
    >>> round(loss(enhanced, clean).item(), 3)
    1.1
    """

    def __init__(
        self,
        conventional: Mapping[str, nn.Module],
        added: Mapping[str, nn.Module] | None = None,
        weights: Mapping[str, float] | None = None,
        balance: str = "magnitude",
    ):
        super().__init__()
        added, weights = dict(added or {}), dict(weights or {})
        names = [*conventional, *added]
        if len(set(names)) < len(names) or not conventional:
            raise ValueError(f"Loss terms need one name each, and are {names}.")
        unknown = set(weights) - set(names)
        if unknown:
            raise ValueError(
                f"weights names {sorted(unknown)}, but the terms are {names}."
            )
        if balance not in ("magnitude", "coefficient"):
            raise ValueError(
                f"balance is 'magnitude' or 'coefficient', not {balance!r}."
            )
        self.conventional = nn.ModuleDict(conventional)
        self.added = nn.ModuleDict(added)
        self.balance = balance
        self.weights = {name: float(weights.get(name, 1.0)) for name in names}
        self.phase_two = False
        self.scales: dict[str, float] = {}
        terms = {**self.conventional, **self.added}
        self._extra = {name: _extra_arguments(term) for name, term in terms.items()}

    @property
    def auxiliary(self) -> set[str]:
        """Names of the model's further outputs that some term takes."""
        return set().union(*self._extra.values()) - {"noisy"}

    def start_phase_two(self) -> None:
        """Use the added terms from now on; the next call sets their scales anew."""
        self.phase_two = True
        self.scales = {}

    def forward(
        self,
        enhanced: Tensor,
        clean: Tensor,
        lengths: Tensor | None = None,
        **auxiliary: Tensor,
    ) -> Tensor:
        """Return the weighted sum of the phase's terms, a scalar."""
        return self.total(self.terms(enhanced, clean, lengths, **auxiliary))

    def terms(
        self,
        enhanced: Tensor,
        clean: Tensor,
        lengths: Tensor | None = None,
        **auxiliary: Tensor,
    ) -> dict[str, Tensor]:
        """Return the phase's terms by name, neither weighted nor scaled.

        Arguments
        ---------
        enhanced, clean : Tensor
            `[B, samples]`.
        lengths : Tensor, optional
            SpeechBrain's relative lengths, `[B]`.
        auxiliary : Tensor
            What terms take besides, by the name of their argument.
        """
        terms = {**self.conventional, **(self.added if self.phase_two else {})}
        return {
            name: term(
                enhanced,
                clean,
                lengths,
                **{k: v for k, v in auxiliary.items() if k in self._extra[name]},
            )
            for name, term in terms.items()
        }

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted sum of what `terms` returned, a scalar."""
        if self.phase_two and not self.scales:
            self._set_scales(terms)
        return sum(
            self.weights[name] * self.scales.get(name, 1.0) * value
            for name, value in terms.items()
        )

    @torch.no_grad()
    def _set_scales(self, terms: Mapping[str, Tensor]) -> None:
        if self.balance == "coefficient":
            self.scales = dict.fromkeys(self.added, 1.0)
            return
        values = torch.stack([terms[name].detach() for name in self.weights])
        if is_distributed_initialized():
            torch.distributed.all_reduce(values)  # every rank has to scale alike
        values = dict(zip(self.weights, values.tolist(), strict=True))
        conventional = sum(self.weights[n] * values[n] for n in self.conventional)
        for name in self.added:
            scale = abs(conventional / values[name]) if values[name] else math.inf
            if not 0 < scale < math.inf:
                raise ValueError(
                    f"The loss term {name!r} is {values[name]} where the conventional "
                    f"loss is {conventional}: there is no scale to make them equal. "
                    "Choose balance: coefficient, or see what the term compares."
                )
            self.scales[name] = scale

    def get_extra_state(self) -> dict:
        """Return the phase and the scales, for the state dict."""
        return {"phase_two": self.phase_two, "scales": self.scales}

    def set_extra_state(self, state: dict) -> None:
        """Restore the phase and the scales."""
        self.phase_two, self.scales = state["phase_two"], dict(state["scales"])


def _extra_arguments(term: nn.Module) -> set[str]:
    """Names of a term's arguments after its first three."""
    return set(list(inspect.signature(term.forward).parameters)[3:])
