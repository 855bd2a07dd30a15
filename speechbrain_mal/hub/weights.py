"""What an exported folder's YAML names besides the model: who loads its weights.

Weights are in safetensors: reading them never runs code, and a weight that is missing,
unexpected or of another shape is an error. Both hold for SpeechBrain's own interfaces,
too, when they load the folder.
"""

import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from speechbrain.utils.fetching import FetchSource, guess_source
from speechbrain.utils.parameter_transfer import Pretrainer
from torch import Tensor, nn

SUFFIX = ".safetensors"


class SafetensorsPretrainer(Pretrainer):
    """SpeechBrain's Pretrainer, strict, for weights in safetensors.

    Arguments
    ---------
    loadables : dict of str to nn.Module
        What to load: `<name>.safetensors` of the source goes into each.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> trained, fresh = nn.Linear(2, 3), nn.Linear(2, 3)
    >>> save_weights(trained, folder / "enhancer.safetensors")
    >>> pretrainer = SafetensorsPretrainer({"enhancer": fresh})
    >>> _ = pretrainer.collect_files(default_source=str(folder))
    >>> pretrainer.load_collected()
    >>> bool((fresh.weight == trained.weight).all())
    True
    """

    def __init__(self, loadables: dict[str, nn.Module]):
        super().__init__(
            loadables=loadables, custom_hooks=dict.fromkeys(loadables, load_weights)
        )

    def collect_files(
        self, default_source: str | os.PathLike | FetchSource, **options: Any
    ) -> dict[str, Path]:
        """Fetch the weights from the source, as SpeechBrain's Pretrainer does."""
        if not isinstance(default_source, FetchSource):
            default_source = FetchSource(*guess_source(str(default_source)))
        kind, source = default_source
        self.add_paths(
            {
                name: FetchSource(kind, f"{source}/{name}{SUFFIX}")
                for name in self.loadables
            }
        )
        return super().collect_files(default_source, **options)


def save_weights(module: nn.Module, path: str | os.PathLike) -> None:
    """Write a module's weights in safetensors; the file is whole or as it was.

    Arguments
    ---------
    module : nn.Module
        Its state dict is written; tensors that share memory are written once.
    path : path
        The file.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_model(module, str(partial), metadata={"format": "pt"})
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_weights(module: nn.Module, path: str | os.PathLike) -> None:
    """Load weights from safetensors, strictly.

    Arguments
    ---------
    module : nn.Module
        Where they go, on its own device.
    path : path
        The file.

    Raises
    ------
    ValueError
        When the file is missing, damaged, not in this format, or of another model.
    """
    try:
        load_model(module, str(path), strict=True)
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path}: no whole file of weights in safetensors ({error}). Fetch or "
            "export it again."
        ) from error
    except RuntimeError as error:
        raise ValueError(
            f"{path} holds another model's weights than hyperparams.yaml builds: "
            f"{_shortened(str(error))}"
        ) from error


def _shortened(message: str, characters: int = 300) -> str:
    message = " ".join(message.split())
    return message[:characters] + " ..." * (len(message) > characters)


class EnhanceModel(nn.Module):
    """An enhancer as SpeechBrain's `WaveformEnhancement` calls it.

    Arguments
    ---------
    enhancer : nn.Module
        Noisy waveforms `[B, samples]` to enhanced ones.

    Example
    -------
    >>> enhanced, _ = EnhanceModel(nn.Identity())(noisy := Tensor([[1.0, 2.0]]))
    >>> bool((enhanced == noisy).all())
    True
    """

    def __init__(self, enhancer: nn.Module):
        super().__init__()
        self.enhancer = enhancer

    def forward(self, noisy: Tensor) -> tuple[Tensor, None]:
        """Return the enhanced waveforms, and no features."""
        return self.enhancer(noisy), None
