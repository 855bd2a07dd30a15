"""Training objectives, each `loss(enhanced, clean, lengths) -> scalar`."""

from speechbrain_mal.losses.added_term import AddedTerm
from speechbrain_mal.losses.collapse import FeatureCollapseError
from speechbrain_mal.losses.deep_feature import DeepFeatureLoss
from speechbrain_mal.losses.deepfilternet import DeepFilterNetLoss
from speechbrain_mal.losses.metric_losses import PESQLoss, STOILoss
from speechbrain_mal.losses.model_as_loss import ModelAsLoss
from speechbrain_mal.losses.weighted import WeightedLoss

__all__ = [
    "AddedTerm",
    "DeepFeatureLoss",
    "DeepFilterNetLoss",
    "FeatureCollapseError",
    "ModelAsLoss",
    "PESQLoss",
    "STOILoss",
    "WeightedLoss",
]
