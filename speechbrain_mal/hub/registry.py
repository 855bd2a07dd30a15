"""The networks that a `config.json` may name, and what their arguments may be.

A network is `{"class": name, "arguments": {...}}`; an argument may be another network.
Nothing is imported, looked up or called that does not stand in this table, and no
argument gets through that its schema does not know.
"""

import functools
import importlib
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from speechbrain_mal.files import printable, shown
from speechbrain_mal.hub.schema import checked

DEEPEST = 12  # networks within networks
# For building one, on this thread. The slowest of SpeechBrain's, a 2D-FCN with kernels
# of 9 x 9, takes 3 s for each MB of its weights; a weak core takes five times as long.
SECONDS, SECONDS_A_MB = 1.0, 16.0


def NETWORK(spec: object, where: str, depth: int = 0) -> functools.partial:  # noqa: N802
    """Return what builds a network, another one of the table: a kind of argument."""
    if not isinstance(spec, dict) or not _KEYS <= set(spec) <= _KEYS | {"later"}:
        raise ValueError(f"{where}: class and arguments of one, not {shown(spec)}.")
    if depth >= DEEPEST:
        raise ValueError(f"{where}: more than {DEEPEST} networks within each other.")
    name = spec["class"]
    if not isinstance(name, str) or name not in _MODELS:
        raise ValueError(
            f"{where}.class: {shown(name)} is not registered; if it is yours, "
            "say what it takes by speechbrain_mal.hub.registry.register_model(name, "
            "class, schema). SpeechBrain's WaveformEnhancement may load the folder: it "
            "executes its YAML."
        )
    build, schema = _MODELS[name]
    given = checked(spec["arguments"], dict(schema), f"{where}.arguments", depth + 1)
    later = checked(spec.get("later", False), bool, f"{where}.later")
    if isinstance(build, str):  # here, since an import is no part of a network's time
        module, _, name = build.rpartition(".")
        build = getattr(importlib.import_module(module), name)
    return functools.partial(_build, build, given, later)


def _part(value: object, where: str, depth: int = 0) -> str:
    """Return the name of a submodule, such as `layers.0`."""
    name = checked(value, str, where)
    if not all(f"_{part}".isidentifier() and part for part in name.split(".")):
        raise ValueError(f"{where}: the name of a part, not {shown(name)}.")
    return name


def _shape(value: object, where: str, depth: int = 0) -> list:
    """Return the shape of a container's input, by which it builds its layers."""
    shape = checked(value, [(_BINS, None)], where)
    if shape[:2] != [None, None]:
        raise ValueError(f"{where}: null for batch and time, not {shown(shape[:2])}.")
    return shape


_KEYS = {"class", "arguments"}
_SIZE, _DEPTH, _DIM = range(1, 4097), range(1, 33), range(4)
_BINS = range(1, 1026)  # of an FFT
RATE = range(4000, 192_001)  # Hz


def _kinds(
    size: str = "", depth: str = "", dim: str = "", flag: str = "", **other: Any
) -> dict[str, Any]:
    """Return a schema, most of whose names are of a few kinds."""
    named = ((size, _SIZE), (depth, _DEPTH), (dim, _DIM), (flag, bool))
    return {name: kind for names, kind in named for name in names.split()} | other


_OURS = {
    "DeepFilterNet2": _kinds(
        "min_erb_bins df_bins channels embedding_size df_hidden_size linear_groups",
        "erb_layers df_layers df_order",
        flag="level_invariant",
        sample_rate=RATE,
        n_fft=range(32, 16_385),
        hop_length=range(16, 8193),
        erb_bands=range(8, 513),
        df_lookahead=range(32),
        lookahead=range(32),
        tau_seconds=(1e-3, 100.0),
    ),
    "SpectralMaskEnhancer": _kinds(
        flag="takes_lengths",
        network=NETWORK,
        sample_rate=RATE,
        n_fft=range(32, 16_385),
        win_length=(0.1, 1000.0),
        hop_length=(0.1, 1000.0),
        min_mask=(0.0, 1.0),
        layers=[_part],
    ),
    "WaveformEnhancer": _kinds(
        network=NETWORK,
        channel_dim=(_DIM, None),
        multiple=range(1, 65_537),
        margin=range(65_537),
        layers=[_part],
        time_dim=_DIM,
    ),
    "SEGANEnhancer": {"network": NETWORK},
    "EnhanceResnetEnhancer": {"network": NETWORK},
    "LearnedBasisEnhancer": _kinds(encoder=NETWORK, masknet=NETWORK, decoder=NETWORK),
}
_SPEECHBRAIN = {
    "nnet.containers.Sequential": {"input_shape": _shape, "*": NETWORK},
    "nnet.CNN.Conv1d": _kinds("out_channels kernel_size"),
    "nnet.CNN.Conv2d": _kinds(
        "out_channels",
        kernel_size=(_SIZE, [_SIZE]),
        padding={"same", "valid", "causal"},
    ),
    "nnet.RNN.LSTM": _kinds("hidden_size", "num_layers", flag="bidirectional"),
    "nnet.linear.Linear": _kinds("n_neurons"),
    "nnet.normalization.LayerNorm": {},
    "nnet.normalization.BatchNorm2d": _kinds("input_size"),
    "lobes.models.EnhanceResnet.EnhanceResnet": _kinds(
        "dense_nodes", channel_counts=[_SIZE]
    ),
    "lobes.models.MetricGAN.EnhancementGenerator": {},
    "lobes.models.conv_tasnet.MaskNet": _kinds("N B H P", "X R", "C"),
    "lobes.models.dual_path.Encoder": _kinds("kernel_size out_channels"),
    "lobes.models.dual_path.Decoder": _kinds(
        "in_channels out_channels kernel_size stride", flag="bias"
    ),
    "lobes.models.dual_path.Dual_Path_Model": _kinds(
        "in_channels out_channels K",
        "num_layers",
        "num_spks",
        "linear_layer_after_inter_intra",
        intra_model=NETWORK,
        inter_model=NETWORK,
    ),
    "lobes.models.dual_path.SBRNNBlock": _kinds(
        "input_size hidden_channels", "num_layers", flag="bidirectional"
    ),
    "lobes.models.dual_path.SBTransformerBlock": _kinds(
        "d_model nhead d_ffn",
        "num_layers",
        flag="use_positional_encoding norm_before",
    ),
    "lobes.models.segan_model.Generator": _kinds(
        "kernel_size", flag="latent_vae z_prob"
    ),
    "lobes.models.transformer.TransformerSE.CNNTransformerSE": _kinds(
        "d_model output_size d_ffn nhead",
        "num_layers",
        flag="causal",
        output_activation=NETWORK,
        activation=NETWORK,
        custom_emb_module=NETWORK,
    ),
}
# By name, the class or where it is, and by the name of each argument what it may be.
_MODELS: dict[str, tuple[Callable[..., nn.Module] | str, Mapping[str, Any]]] = {
    **{name: (f"speechbrain_mal.models.{name}", _OURS[name]) for name in _OURS},
    **{
        f"speechbrain.{name}": (f"speechbrain.{name}", _SPEECHBRAIN[name])
        for name in _SPEECHBRAIN
    },
    **{name: (name, {}) for name in ("torch.nn.LeakyReLU", "torch.nn.Sigmoid")},
}


def register_model(
    name: str, build: Callable[..., nn.Module], schema: Mapping[str, Any]
) -> None:
    """Let folders name a network of yours; for this process.

    Arguments
    ---------
    name : str
        What `config.json` calls it: as its runs' YAML does, `my_package.nets.Denoiser`.
    build : callable
        The class. It is called with what the schema let through, whoever wrote the
        folder: it must not open files or run anything.
    schema : mapping
        By the name of each argument what it may be, as `schema.py` says it; `NETWORK`
        is another network.

    Example
    -------
    >>> register_model("nets.Mix", nn.Linear, {"in_features": range(1, 65),
    ...     "out_features": range(1, 65), "bias": bool})
    >>> sizes = {"in_features": 2, "out_features": 3}
    >>> build_model({"class": "nets.Mix", "arguments": sizes}, "config.json", 100)
    Linear(in_features=2, out_features=3, bias=True)
    """
    _MODELS[name] = build, schema


def path_of(name: str) -> str:
    """Return where the class of that name is, as a YAML's tag names it."""
    build, _ = _MODELS.get(name, (name, {}))
    if isinstance(build, str):
        return build
    return f"{build.__module__}.{build.__qualname__}"


def build_model(spec: object, where: str, weights_bytes: int) -> nn.Module:
    """Build a network out of plain data, of anybody's making.

    ValueError when a class or an argument is unknown or out of range; it names the
    file, by `where`, and the key. A network that takes far more memory or time than the
    size of its file of weights allows is refused before they are taken.
    """
    made = NETWORK(spec, f"{where}, model")
    try:
        with _Budget(weights_bytes):
            network = made()
        if not isinstance(network, nn.Module):
            raise TypeError("later: it is what is to be built now")
        return network
    except Exception as error:  # whatever a constructor objects to
        raise ValueError(
            f"{where}, model: no network can be built of it ({type(error).__name__}: "
            f"{printable(error)[:300]})."
        ) from error


def _build(
    build: Callable[..., nn.Module], arguments: dict, later: bool
) -> nn.Module | Callable[..., nn.Module]:
    made = {
        name: value() if isinstance(value, functools.partial) else value
        for name, value in arguments.items()
    }
    # A layer that is built by what it is part of, which knows its input's shape.
    return functools.partial(build, **made) if later else build(**made)


class _Budget(TorchFunctionMode):
    """Refuse tensors before they take far more memory than there are weights.

    SpeechBrain's containers run all they have so far to know the next layer's shape, so
    time is bounded, too.
    """

    makers = frozenset(
        getattr(torch, name)
        for name in ("empty", "zeros", "ones", "full", "rand", "randn", "eye", "arange")
        + ("linspace", "hamming_window", "hann_window")
    )
    copiers = (torch.Tensor.clone, torch.Tensor.__deepcopy__)
    products = (F.linear, F.conv1d, F.conv2d)
    # Numbers of a product, and a 1024th of its multiplications: thrice that 2D-FCN's.
    largest = 1 << 26

    def __init__(self, weights_bytes: int):
        super().__init__()
        self.left = 4 * weights_bytes + (16 << 20)
        self.seconds = SECONDS + SECONDS_A_MB * weights_bytes / 1e6
        self.end = time.thread_time() + self.seconds

    def __torch_function__(self, func, types, args=(), kwargs=None) -> Any:  # noqa: ANN001
        kwargs = kwargs or {}
        if func in self.makers:
            size = kwargs.get("size", args[0] if args else 0)
            size = size if isinstance(size, tuple | list) else args
            self._take(math.prod(n for n in size if isinstance(n, int)))
        elif func in self.copiers:
            self._take(args[0].numel())
        elif func in self.products:
            inputs, weight = args[:2]
            places = inputs.numel() // inputs.shape[-1 if func is F.linear else 1]
            if places * max(len(weight), weight.numel() >> 10) > self.largest:
                raise ValueError("a layer computes far more than an enhancer's")
        if time.thread_time() > self.end and func is not torch._C._set_grad_enabled:
            raise ValueError(f"it takes longer than {self.seconds:.1f} s")
        return func(*args, **kwargs)

    def _take(self, numbers: int) -> None:
        self.left -= 4 * numbers
        if self.left < 0:
            raise ValueError("it is far larger than its file of weights")
