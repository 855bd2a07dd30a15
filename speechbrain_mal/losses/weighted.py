"""Named loss terms and their weights, added up, in the two phases of training."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from speechbrain_mal.losses.auxiliary import AuxiliaryLoss
from speechbrain_mal.losses.model_as_loss import ModelAsLoss


class WeightedLoss(nn.Module):
    """Sum of named terms: the conventional ones, and those that phase two adds.

    Arguments
    ---------
    conventional : mapping of str to callable
        Terms of both phases: modules, or functions such as SpeechBrain's
        `mse_loss`, `loss(enhanced, clean, lengths)`. A module that takes more names it
        in an attribute `inputs`, such as `("noisy", "local_snr")`: it is given these of
        the batch and of the model's further outputs, or None.
    added : mapping of str to AuxiliaryLoss, optional
        Terms of phase two, each with its weight and scale; one of weight 0 is left out.
        Their losses may have `inputs`, too.
    weights : mapping of str to float, optional
        Weight of a conventional term, 1 where not given.

    Raises
    ------
    ValueError
        When a weight names no term, or a name is used twice.

    Example
    -------
    >>> from speechbrain.nnet.losses import l1_loss
    >>> tenth = AuxiliaryLoss(l1_loss, weight=0.1)
    >>> loss = WeightedLoss({"l1": l1_loss}, added={"tenth": tenth})
    >>> import torch
    >>> enhanced, clean = torch.ones(1, 8), torch.zeros(1, 8)
    >>> loss(enhanced, clean).item()
    1.0
    >>> loss.start_phase_two()
    >>> round(loss(enhanced, clean).item(), 3)
    1.1
    """

    def __init__(
        self,
        conventional: Mapping[str, Callable],
        added: Mapping[str, AuxiliaryLoss] | None = None,
        weights: Mapping[str, float] | None = None,
    ):
        super().__init__()
        added, weights = dict(added or {}), dict(weights or {})
        names = [*conventional, *added]
        if len(set(names)) < len(names) or not conventional:
            raise ValueError(f"Loss terms need one name each, and are {names}.")
        if unknown := set(weights) - set(conventional):
            raise ValueError(
                f"weights names {sorted(unknown)}, but the conventional terms are "
                f"{list(conventional)}; an added term has a weight of its own."
            )
        self.conventional = nn.ModuleDict(
            {name: _module(term) for name, term in conventional.items()}
        )
        self.added = nn.ModuleDict(
            {name: term for name, term in added.items() if term.weight}
        )
        self.weights = {name: float(weights.get(name, 1.0)) for name in conventional}
        self.phase_two = False

    def start_phase_two(self) -> None:
        """Use the added terms from now on, with scales set anew by the next batch."""
        self.phase_two = True
        for term in self.added.values():
            term.forget()

    def at(self, epoch: int, step: int) -> None:
        """Say where training is, before a training batch, see `ModelAsLoss.at`."""
        if self.phase_two:
            for term in self.added.values():
                term.at(epoch, step)

    def forward(self, *arguments: Any, **options: Any) -> Tensor:
        """Return the weighted sum of what `terms` returns for the same, a scalar."""
        return self.total(self.terms(*arguments, **options))

    def terms(
        self,
        enhanced: Tensor,
        clean: Tensor,
        lengths: Tensor | None = None,
        outputs: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Return the phase's terms by name, neither weighted nor scaled.

        `outputs` is what terms take besides, by name.
        """
        losses, terms = dict(self.conventional), {}
        if self.phase_two:
            losses.update({name: term.loss for name, term in self.added.items()})
        for name, term in losses.items():
            further = {x: (outputs or {}).get(x) for x in getattr(term, "inputs", ())}
            terms[name] = term(enhanced, clean, lengths, **further)
        return terms

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted sum of what `terms` returned, a scalar."""
        main = sum(weight * terms[name] for name, weight in self.weights.items())
        total = main
        for name, value in terms.items():
            if name in self.added:
                total = total + self.added[name].scaled(value, main)
        return total

    def variances(self) -> dict[str, Tensor]:
        """Return the relative variance of each term that watches it, for the log."""
        return {
            f"{name}_variance": term.loss.guard.relative_variance
            for name, term in self.added.items()
            if isinstance(term.loss, ModelAsLoss)
        }

    def get_extra_state(self) -> dict[str, Any]:
        """Return the phase, for the state dict."""
        return {"phase_two": self.phase_two}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the phase."""
        self.phase_two = state["phase_two"]


def _module(term: Callable) -> nn.Module:
    """Return a function as a module, for a ModuleDict."""
    if isinstance(term, nn.Module):
        return term
    module = nn.Module()
    module.forward = term
    return module
