"""Enhancement models: noisy `[B, samples]` in, enhanced `[B, samples]` out."""

from speechbrain_mal.lazy import lazily

_HOMES = {
    "CDPAMEncoder": "foreign",
    "DeepFilterNet2": "deepfilternet2",
    "DeepFilterNet2Encoder": "encoder",
    "DistillMOSEncoder": "foreign",
    "EnhanceResnetEnhancer": "adapters",
    "FrontEnd": "frontend",
    "InputFeatures": "encoder",
    "LayerEncoder": "layer_encoder",
    "LearnedBasisEnhancer": "adapters",
    "SEGANEnhancer": "adapters",
    "SelfSupervisedEncoder": "foreign",
    "SpectralMaskEnhancer": "adapters",
    "WaveformEnhancer": "adapters",
    "settings_from_public_config": "public_weights",
}
__all__ = sorted(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
