"""Training objectives for speech enhancement that use the model itself as the loss.

A plugin for SpeechBrain: `ModelAsLoss` and the losses it is added to, `MALBrain`, which
trains with them in two phases, and `DeepFilterNet2`.
"""

from speechbrain_mal.brain import MALBrain
from speechbrain_mal.checkpoints import AtomicCheckpointer
from speechbrain_mal.losses import (
    AddedTerm,
    DeepFeatureLoss,
    DeepFilterNetLoss,
    ModelAsLoss,
    WeightedLoss,
)
from speechbrain_mal.models import DeepFilterNet2

__version__ = "0.1.0"

__all__ = [
    "AddedTerm",
    "AtomicCheckpointer",
    "DeepFeatureLoss",
    "DeepFilterNet2",
    "DeepFilterNetLoss",
    "MALBrain",
    "ModelAsLoss",
    "WeightedLoss",
]
