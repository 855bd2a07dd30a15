"""Training objectives, each `loss(enhanced, clean, lengths=None)`, a scalar.

`enhanced` and `clean` are `[B, samples]`, and the gradient flows into `enhanced`;
`lengths` are SpeechBrain's relative lengths, `[B]`, or None where no clip is padded.
What lies beyond a clip's end has no influence.
"""

from speechbrain_mal.losses.auxiliary import AuxiliaryLoss
from speechbrain_mal.losses.deep_feature import DeepFeatureLoss
from speechbrain_mal.losses.deepfilternet import DeepFilterNetLoss
from speechbrain_mal.losses.metric_losses import PESQLoss, SNRLoss, STOILoss
from speechbrain_mal.losses.model_as_loss import ModelAsLoss
from speechbrain_mal.losses.weighted import WeightedLoss

__all__ = [
    "AuxiliaryLoss",
    "DeepFeatureLoss",
    "DeepFilterNetLoss",
    "ModelAsLoss",
    "PESQLoss",
    "SNRLoss",
    "STOILoss",
    "WeightedLoss",
]
