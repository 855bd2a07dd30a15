"""Write what the public package computes: `golden/` and `golden_loss.npz`.

The package needs another numpy than this project, and so a venv of its own::

    python3 -m venv public
    public/bin/pip install "deepfilternet==0.5.6" "numpy<2" torch torchaudio soundfile
    public/bin/python tests/models/make_golden.py

Each `golden/*.npz` is one model: `conf` (the arguments of this project's
`DeepFilterNet2`, as JSON), weights (`w.<name>` of the package's state dict), `noisy`,
and what the package makes of it: `feat_erb`, `feat_spec`, `emb`, `erb_mask`, `lsnr`,
`enhanced`. `golden/defaults.ini` is the package's own configuration file, of all that
its model reads and no file has named. `golden_loss.npz` has clips and the package's
values of its loss terms.
"""

import configparser
import io
import json
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

HERE = Path(__file__).parent
SECONDS = 0.2
GAIN = 2  # of the initial weights
STEP = 2**-8  # of weights and of the input: few bits, so that files are small

# What all of them say, of the arguments of DeepFilterNet2.
COMMON = {
    "erb_bands": 32,
    "min_erb_bins": 2,
    "df_bins": 96,
    "df_order": 5,
    "df_lookahead": 2,
    "lookahead": 2,
    "erb_layers": 1,
    "df_layers": 1,
}
# Small, and unlike in all that the code distinguishes: which convolutions are
# separable (by the divisors that channels share with 2 and with 2 * df_order), the
# groups, the number of GRU layers, the overlap of the frames, each look-ahead.
CONFIGURATIONS = {
    "16k_8_channels": {
        "sample_rate": 16000,
        "n_fft": 320,
        "hop_length": 160,
        "channels": 8,
        "embedding_size": 24,
        "df_hidden_size": 24,
        "erb_layers": 2,
        "df_layers": 2,
        "linear_groups": 8,
    },
    "48k_12_channels": {
        "sample_rate": 48000,
        "n_fft": 960,
        "hop_length": 480,
        "df_lookahead": 0,
        "lookahead": 0,
        "channels": 12,
        "embedding_size": 24,
        "df_hidden_size": 32,
        "linear_groups": 4,
    },
    "8k_9_channels": {  # no common divisor with 2, nor with 2 * df_order
        "sample_rate": 8000,
        "n_fft": 256,
        "hop_length": 64,
        "erb_bands": 24,
        "min_erb_bins": 1,
        "df_bins": 48,
        "df_order": 4,
        "df_lookahead": 1,
        "lookahead": 3,
        "channels": 9,
        "embedding_size": 24,
        "df_hidden_size": 24,
        "linear_groups": 3,
    },
}

# Our argument to the package's section and option. The published files name the deep
# filter's settings in the model's section, from where the package moves them.
OPTIONS = {
    "sample_rate": ("df", "sr"),
    "n_fft": ("df", "fft_size"),
    "hop_length": ("df", "hop_size"),
    "erb_bands": ("df", "nb_erb"),
    "min_erb_bins": ("df", "min_nb_erb_freqs"),
    "df_bins": ("df", "nb_df"),
    "df_order": ("deepfilternet", "df_order"),
    "df_lookahead": ("deepfilternet", "df_lookahead"),
    "lookahead": ("deepfilternet", "conv_lookahead"),
    "channels": ("deepfilternet", "conv_ch"),
    "embedding_size": ("deepfilternet", "emb_hidden_dim"),
    "df_hidden_size": ("deepfilternet", "df_hidden_dim"),
    "df_layers": ("deepfilternet", "df_num_layers"),
    "linear_groups": ("deepfilternet", "linear_groups"),
}
# DeepFilterNet2's published configuration, where it is not the default.
PUBLISHED = {
    "df_pathway_kernel_size_t": "5",
    "df_n_iter": "1",
    "enc_concat": "True",
    "gru_type": "squeeze",
    "gru_groups": "8",
    "group_shuffle": "False",
    "df_output_layer": "groupedlinear",
    "dfop_method": "df",
}


def config_ini(conf: dict[str, int]) -> str:
    """Return the package's configuration file of a model: published, but for `conf`."""
    parser = configparser.ConfigParser()
    parser["train"] = {"model": "deepfilternet2", "device": "cpu"}
    parser["df"] = {}
    parser["deepfilternet"] = PUBLISHED
    for name, (section, option) in OPTIONS.items():
        parser[section][option] = str(conf[name])
    # The package counts the embedding's layer, too.
    parser["deepfilternet"]["emb_num_layers"] = str(conf["erb_layers"] + 1)
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def public_config() -> "Config":  # noqa: F821
    """Return the package's global configuration."""
    # Newer versions of torchaudio lack a module of which the package takes one name.
    backend = types.ModuleType("torchaudio.backend.common")
    backend.AudioMetaData = object
    sys.modules.setdefault("torchaudio.backend", types.ModuleType("backend"))
    sys.modules.setdefault("torchaudio.backend.common", backend)
    from df.config import config

    return config


def public_model(conf: dict[str, int]) -> tuple[nn.Module, "DF"]:  # noqa: F821
    """Configure the package, globally as it has it; return a model and a `libdf.DF`."""
    config = public_config()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.ini"
        path.write_text(config_ini(conf))
        config.load(str(path), allow_reload=True)
    from df.deepfilternet2 import init_model
    from libdf import DF

    state = DF(
        sr=conf["sample_rate"],
        fft_size=conf["n_fft"],
        hop_size=conf["hop_length"],
        nb_bands=conf["erb_bands"],
        min_nb_erb_freqs=conf["min_erb_bins"],
    )
    return init_model(state), state


def record_defaults() -> None:
    """Write `golden/defaults.ini`."""
    config = public_config()
    config.use_defaults(allow_reload=True)
    from df.deepfilternet2 import ModelParams

    ModelParams()  # what a file does not name, the package notes as it reads it
    config.modified = True
    config.save(str(HERE / "golden" / "defaults.ini"))


@torch.no_grad()
def randomize(model: nn.Module) -> None:
    """Move the model away from its initial state, where outputs hardly vary."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(0, 0.2)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter *= GAIN
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.is_floating_point():
            tensor.copy_((tensor / STEP).round() * STEP)


def noise_in_bursts(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise of changing level, `[samples]`, in multiples of `STEP`."""
    level = 0.01 + 0.2 * np.sin(np.linspace(0, 7, samples)) ** 2
    noise = (level * rng.standard_normal(samples)).clip(-1, 1)
    return (np.round(noise / STEP) * STEP).astype(np.float32)


@torch.no_grad()
def record_model(name: str, conf: dict[str, int], seed: int) -> None:
    """Write `golden/<name>.npz`."""
    torch.manual_seed(seed)
    model, state = public_model(conf)
    from df.enhance import df_features, enhance

    randomize(model)
    # Not a multiple of the hop: the last samples are in no whole frame.
    samples = round(SECONDS * conf["sample_rate"]) + 37
    noisy = noise_in_bursts(samples, np.random.default_rng(seed))
    seen = {}
    model.eval()
    model.enc.register_forward_hook(lambda _, __, out: seen.update(emb=out[4]))
    noisy = torch.from_numpy(noisy)[None]
    enhanced = enhance(model, state, noisy)
    padded = nn.functional.pad(noisy, (0, conf["n_fft"]))
    spectrum, feat_erb, feat_spec = df_features(padded, state, conf["df_bins"])
    _, mask, local_snr, _ = model(spectrum, feat_erb, feat_spec)
    arrays: dict[str, Tensor] = {
        "noisy": noisy,
        "feat_erb": feat_erb.squeeze(1),
        "feat_spec": feat_spec.squeeze(1),
        "emb": seen["emb"],
        "erb_mask": mask.squeeze(1),
        "lsnr": local_snr.squeeze(-1),
        "enhanced": enhanced,
    }
    constant = ("erb_fb", "mask.")  # large, and given by the configuration
    for key, tensor in model.state_dict().items():
        if not key.startswith(constant):
            arrays[f"w.{key}"] = tensor
    np.savez_compressed(
        HERE / "golden" / f"{name}.npz",
        conf=json.dumps(conf),
        **{key: tensor.numpy() for key, tensor in arrays.items()},
    )


def record_loss(seed: int = 0) -> None:
    """Write `golden_loss.npz`: three clips of 0.4 s, and the terms of the loss.

    The clips begin and end with more silence than the longest FFT has samples: there
    the package, which mirrors the ends and appends a frame, and this project, which
    continues with zeros, see the same. `mrsl_<n_fft>` is a mean over
    `mrsl_frames_<n_fft>` frames.
    """
    conf = {**COMMON, **CONFIGURATIONS["16k_8_channels"]}
    _, state = public_model(conf)
    from df.config import config
    from df.loss import Istft, Loss, MultiResSpecLoss

    config.set("factor_magnitude", 1000.0, float, "SpectralLoss")
    config.set("factor_complex", 1000.0, float, "SpectralLoss")
    config.set("gamma", 0.3, float, "SpectralLoss")
    config.set("factor", 1e-3, float, "LocalSnrLoss")
    loss = Loss(state)
    n_fft, hop = conf["n_fft"], conf["hop_length"]
    istft = Istft(n_fft, hop, torch.from_numpy(state.fft_window().copy()))

    rng = np.random.default_rng(seed)
    silence, samples = 1100, round(0.4 * conf["sample_rate"])
    clips = {name: np.zeros(samples, np.float32) for name in ("clean", "noise")}
    for clip in clips.values():
        clip[silence:-silence] = noise_in_bursts(samples - 2 * silence, rng)
    clips["noisy"] = clips["clean"] + clips.pop("noise") / 4
    clips["enhanced"] = 0.5 * clips["clean"] + 0.25 * clips["noisy"]
    clean, noisy, enhanced = (
        torch.from_numpy(state.analysis(np.pad(clips[name], (0, n_fft))[None]).copy())
        for name in ("clean", "noisy", "enhanced")
    )
    local_snr = torch.linspace(-15, 35, clean.shape[1])[None]
    target = loss.lsnr(clean[:, None], noisy[:, None] - clean[:, None])
    values = {
        "spectral": loss.sl(enhanced, clean),
        "lsnr": loss.lsnrl(local_snr[..., None], target),
        "lsnr_estimate": local_snr,
        "lsnr_target": target,
    }
    for size in (256, 512, 1024):
        term = MultiResSpecLoss([size], gamma=0.3, factor=500.0, f_complex=500.0)
        waveform = istft(clean)
        values[f"mrsl_{size}"] = term(istft(enhanced), waveform)
        frames = term.stfts[str(size)](waveform).shape[-1]
        values[f"mrsl_frames_{size}"] = torch.tensor(frames)
    np.savez_compressed(
        HERE / "golden_loss.npz",
        **{name: clip[None] for name, clip in clips.items()},
        **{name: value.numpy() for name, value in values.items()},
    )


if __name__ == "__main__":
    (HERE / "golden").mkdir(exist_ok=True)
    record_defaults()
    for seed, (name, changes) in enumerate(CONFIGURATIONS.items()):
        record_model(name, {**COMMON, **changes}, seed)
    record_loss()
