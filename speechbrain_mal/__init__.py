"""Training objectives for speech enhancement that use the model itself as the loss.

A plugin for SpeechBrain: `ModelAsLoss` and the losses it is added to, `MALBrain`, which
trains with them in two phases, `DeepFilterNet2`, and `MALEnhancement`, which enhances.
"""

import importlib

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
    "ModelAsLoss": "losses",
    "PlainEncoder": "contracts",
    "WeightedLoss": "losses",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    """Import a public name when it is first used.

    Metrics run in processes of their own, and the command line answers at once: neither
    may wait for torch and SpeechBrain where it needs neither.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
