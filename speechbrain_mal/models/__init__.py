"""Enhancement models: noisy `[B, samples]` in, enhanced `[B, samples]` out."""

from speechbrain_mal.models.deepfilternet2 import DeepFilterNet2, DeepFilterNet2Encoder

__all__ = ["DeepFilterNet2", "DeepFilterNet2Encoder"]
