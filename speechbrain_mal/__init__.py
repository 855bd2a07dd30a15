"""Training objectives for speech enhancement that use the model itself as the loss.

A plugin for SpeechBrain: `ModelAsLoss` and the losses it is added to, `MALBrain`, which
trains with them in two phases, `DeepFilterNet2`, and `MALEnhancement`, which enhances.
"""

from speechbrain_mal.lazy import lazily

__version__ = "0.1.0"

_HOMES = {
    "AtomicCheckpointer": "checkpoints",
    "AuxiliaryLoss": "losses",
    "DeepFeatureLoss": "losses",
    "DeepFilterNet2": "models",
    "DeepFilterNetLoss": "losses",
    "MALBrain": "brain",
    "MALEnhancement": "inference",
    "Encoder": "contracts",
    "Enhancer": "contracts",
    "EnhancerEncoder": "enhancer_encoder",
    "ModelAsLoss": "losses",
    "PlainEncoder": "contracts",
    "WeightedLoss": "losses",
}

__all__ = sorted(_HOMES)


# Metrics run in processes of their own, and the command line answers at once: neither
# may wait for torch and SpeechBrain where it needs neither.
__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
