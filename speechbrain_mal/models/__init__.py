"""Enhancement models: noisy `[B, samples]` in, enhanced `[B, samples]` out."""

from speechbrain_mal.models.adapters import (
    EnhanceResnetEnhancer,
    LearnedBasisEnhancer,
    SEGANEnhancer,
    SpectralMaskEnhancer,
    WaveformEnhancer,
)
from speechbrain_mal.models.deepfilternet2 import DeepFilterNet2
from speechbrain_mal.models.encoder import DeepFilterNet2Encoder
from speechbrain_mal.models.frontend import FrontEnd
from speechbrain_mal.models.input_features import InputFeatures
from speechbrain_mal.models.layer_encoder import LayerEncoder
from speechbrain_mal.models.perceptual import CDPAMEncoder, DistillMOSEncoder
from speechbrain_mal.models.public_weights import settings_from_public_config
from speechbrain_mal.models.self_supervised import SelfSupervisedEncoder

__all__ = [
    "CDPAMEncoder",
    "DeepFilterNet2",
    "DeepFilterNet2Encoder",
    "DistillMOSEncoder",
    "EnhanceResnetEnhancer",
    "FrontEnd",
    "InputFeatures",
    "LayerEncoder",
    "LearnedBasisEnhancer",
    "SEGANEnhancer",
    "SelfSupervisedEncoder",
    "SpectralMaskEnhancer",
    "WaveformEnhancer",
    "settings_from_public_config",
]
