"""Enhancement models: noisy `[B, samples]` in, enhanced `[B, samples]` out."""

from speechbrain_mal.lazy import lazily

_HOMES = {
    "CDPAMEncoder": "perceptual",
    "DeepFilterNet2": "deepfilternet2",
    "DeepFilterNet2Encoder": "encoder",
    "DistillMOSEncoder": "perceptual",
    "FrontEnd": "frontend",
    "InputFeatures": "input_features",
    "LearnedBasisEnhancer": "adapters",
    "SelfSupervisedEncoder": "self_supervised",
    "SpectralMaskEnhancer": "adapters",
    "TappedEncoder": "tapped",
    "TappedEnhancer": "tapped",
    "WaveformEnhancer": "adapters",
}
__all__ = sorted(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
