"""Training objectives, each `loss(enhanced, clean, lengths) -> scalar`."""

from speechbrain_mal.losses.auxiliary import AuxiliaryLoss
from speechbrain_mal.losses.collapse import FeatureCollapseError
from speechbrain_mal.losses.deep_feature import DeepFeatureLoss
from speechbrain_mal.losses.deepfilternet import DeepFilterNetLoss
from speechbrain_mal.losses.metric_losses import PESQLoss, STOILoss
from speechbrain_mal.losses.model_as_loss import ModelAsLoss
from speechbrain_mal.losses.weighted import WeightedLoss

__all__ = [
    "AuxiliaryLoss",
    "DeepFeatureLoss",
    "DeepFilterNetLoss",
    "FeatureCollapseError",
    "ModelAsLoss",
    "PESQLoss",
    "STOILoss",
    "WeightedLoss",
]
