"""A loss added to whatever objective a recipe has, with one line of its train.py."""

from torch import Tensor, nn

from speechbrain_mal.losses.weighted import WeightedLoss

REFRESH = ("never", "epoch", "batch", "ema")


class AddedTerm(nn.Module):
    """The second phase of training, for a recipe that is not built on `MALBrain`.

    In `compute_objectives`, once the recipe's own loss is known::

        loss = self.hparams.mal(loss, enhanced, clean, lengths)

    The first training batch starts phase two: the MAL-encoder is copied from the model
    as it is then, trained already, and the scale is set (see `WeightedLoss`). Until
    then the recipe's loss is returned as it is. Give the term to the checkpointer, so
    that a resumed run keeps both. It follows the waveforms to their device.

    Arguments
    ---------
    loss : nn.Module
        `loss(enhanced, clean, lengths)`, such as `ModelAsLoss`.
    weight, balance
        As of `WeightedLoss`, for this one term.
    refresh : str
        When the MAL-encoder follows the model: "never", before the first training batch
        after a validation ("epoch"; without a call in validation there is none), before
        every training batch ("batch"), or as a running average with the same step
        ("ema").

    Raises
    ------
    ValueError
        When `refresh` is unknown, or asked of a loss that can't; and as `WeightedLoss`.

    Example
    -------
    >>> import torch
    >>> from speechbrain_mal import DeepFilterNet2, ModelAsLoss
    >>> model = DeepFilterNet2(16000, channels=8, embedding_size=32, df_hidden_size=32)
    >>> term = AddedTerm(ModelAsLoss(model.encoder))
    >>> clean = torch.randn(2, 16000)
    >>> enhanced = model(clean + 0.1 * torch.randn(2, 16000))
    >>> own = (enhanced - clean).abs().mean()
    >>> loss = term(own, enhanced, clean)  # at first twice as large, by its scale
    >>> torch.allclose(loss, 2 * own)
    True
    """

    def __init__(
        self,
        loss: nn.Module,
        weight: float = 1.0,
        balance: str = "magnitude",
        refresh: str = "never",
    ):
        super().__init__()
        if refresh not in REFRESH:
            raise ValueError(f"refresh is one of {REFRESH}, not {refresh!r}.")
        if refresh != "never" and not hasattr(loss, "refresh"):
            raise ValueError(
                f"refresh: {refresh}, but a {type(loss).__name__} follows no model; "
                "only ModelAsLoss does."
            )
        self.objective = WeightedLoss(
            {"recipe": nn.Identity()}, {"added": loss}, {"added": weight}, balance
        )
        self.refresh = refresh
        self.validated = False

    @property
    def loss(self) -> nn.Module:
        """The loss that is added."""
        return self.objective.added["added"]

    def forward(
        self,
        recipe_loss: Tensor,
        enhanced: Tensor,
        clean: Tensor,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Return the recipe's loss with the term added, a scalar.

        Arguments
        ---------
        recipe_loss : Tensor
            The recipe's own loss, a scalar.
        enhanced, clean : Tensor
            `[B, samples]`; the gradient flows into `enhanced`.
        lengths : Tensor, optional
            SpeechBrain's relative lengths, `[B]`.
        """
        if enhanced.requires_grad:
            self._follow()
        else:
            self.validated = True
        if not self.objective.phase_two:
            return recipe_loss
        self.to(enhanced.device)
        added = self.loss(enhanced, clean, lengths)
        return self.objective.total({"recipe": recipe_loss, "added": added})

    def get_extra_state(self) -> dict:
        """Return what the next batch has to know, for the state dict.

        Checkpoints are written between a validation and the next epoch.
        """
        return {"validated": self.validated}

    def set_extra_state(self, state: dict) -> None:
        """Restore it."""
        self.validated = state["validated"]

    def _follow(self) -> None:
        """Bring the MAL-encoder up to date for a training batch."""
        if not self.objective.phase_two:
            self.objective.start_phase_two()
            if hasattr(self.loss, "refresh"):
                self.loss.refresh()
        elif self.refresh == "batch" or (self.refresh == "epoch" and self.validated):
            self.loss.refresh()
        elif self.refresh == "ema":
            self.loss.average()
        self.validated = False
