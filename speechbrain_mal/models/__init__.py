"""Enhancement models: noisy `[B, samples]` in, enhanced `[B, samples]` out."""

from speechbrain_mal.lazy import lazily

_HOMES = {
    "CDPAMEncoder": "perceptual",
    "DeepFilterNet2": "deepfilternet2",
    "DeepFilterNet2Encoder": "encoder",
    "DistillMOSEncoder": "perceptual",
    "EnhanceResnetEnhancer": "adapters",
    "FrontEnd": "frontend",
    "InputFeatures": "input_features",
    "LayerEncoder": "layer_encoder",
    "LearnedBasisEnhancer": "adapters",
    "SEGANEnhancer": "adapters",
    "SelfSupervisedEncoder": "self_supervised",
    "SpectralMaskEnhancer": "adapters",
    "WaveformEnhancer": "adapters",
    "settings_from_public_config": "public_weights",
}
__all__ = sorted(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
