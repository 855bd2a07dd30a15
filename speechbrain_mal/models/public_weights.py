"""Which model a `config.ini` of the public package describes, and whether it is ours.

The package (`deepfilternet` 0.5.6) keeps the file beside its `checkpoints/`. What it
says decides what the weights compute, and their shapes show only part of that.
"""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from speechbrain_mal.models.encoder import LOCAL_SNR_RANGE_DB

if TYPE_CHECKING:
    from speechbrain_mal.models.deepfilternet2 import DeepFilterNet2

Value = bool | int | float | str | tuple[int, ...]


class Setting(NamedTuple):
    """A setting of the package: an argument of `DeepFilterNet2`, or of one value."""

    section: str
    name: str
    default: Value  # the package's, where a file does not name it
    argument: str = ""
    only: Value = ""  # without an argument: the value that `DeepFilterNet2` has
    surplus: int = 0  # what the package counts more than the argument does


# All that the package reads of a model, but for `conv_depthwise`, `convt_depthwise` and
# `pad_mode`, which its DeepFilterNet2 never uses, and `gru_groups` and `group_shuffle`,
# which are of GRUs of type `grouped` only.
SETTINGS = (
    Setting("train", "model", "deepfilternet3", only="deepfilternet2"),
    Setting("train", "mask_only", False, only=False),
    Setting("df", "sr", 48000, "sample_rate"),
    Setting("df", "fft_size", 960, "n_fft"),
    Setting("df", "hop_size", 480, "hop_length"),
    Setting("df", "nb_erb", 32, "erb_bands"),
    Setting("df", "min_nb_erb_freqs", 2, "min_erb_bins"),
    Setting("df", "nb_df", 96, "df_bins"),
    Setting("df", "df_order", 5, "df_order"),
    Setting("df", "df_lookahead", 0, "df_lookahead"),
    Setting("df", "norm_tau", 1.0, "tau_seconds"),
    Setting("df", "lsnr_min", -15, only=int(LOCAL_SNR_RANGE_DB[0])),
    Setting("df", "lsnr_max", 35, only=int(LOCAL_SNR_RANGE_DB[1])),
    Setting("deepfilternet", "conv_lookahead", 0, "lookahead"),
    Setting("deepfilternet", "conv_ch", 16, "channels"),
    Setting("deepfilternet", "conv_kernel", (1, 3), only=(1, 3)),
    Setting("deepfilternet", "conv_kernel_inp", (3, 3), only=(3, 3)),
    Setting("deepfilternet", "emb_hidden_dim", 256, "embedding_size"),
    # The package counts the embedding's own layer, too.
    Setting("deepfilternet", "emb_num_layers", 2, "erb_layers", surplus=1),
    Setting("deepfilternet", "df_hidden_dim", 256, "df_hidden_size"),
    Setting("deepfilternet", "df_num_layers", 3, "df_layers"),
    # From the embedding; the skip within the block around the GRU is always there.
    Setting("deepfilternet", "df_gru_skip", "none", only="none"),
    Setting("deepfilternet", "df_output_layer", "linear", only="groupedlinear"),
    Setting("deepfilternet", "df_pathway_kernel_size_t", 1, only=5),
    Setting("deepfilternet", "df_n_iter", 2, only=1),
    Setting("deepfilternet", "dfop_method", "real_unfold", only="df"),
    Setting("deepfilternet", "enc_concat", False, only=True),
    Setting("deepfilternet", "gru_type", "grouped", only="squeeze"),
    Setting("deepfilternet", "linear_groups", 1, "linear_groups"),
    Setting("deepfilternet", "mask_pf", False, only=False),
)
ARGUMENTS = [setting.argument for setting in SETTINGS if setting.argument]
BOOLEANS = {
    **dict.fromkeys(("true", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "no", "n", "off", "0"), False),
}


def settings_from_public_config(config: str | Path) -> dict[str, int | float]:
    """Return the arguments of `DeepFilterNet2` for weights of the public package.

    What its `config.ini` does not name is as the package has it then; environment
    variables, which the package heeds too, are not looked at. A ValueError says that
    the file can't be read, or which settings `DeepFilterNet2` has otherwise only.

    Example
    -------
    >>> path = getfixture("tmp_path") / "config.ini"
    >>> _ = path.write_text('''
    ... [train]
    ... model = deepfilternet2
    ... [df]
    ... df_lookahead = 2
    ... [deepfilternet]
    ... dfop_method = df
    ... df_n_iter = 1
    ... df_output_layer = groupedlinear
    ... df_pathway_kernel_size_t = 5
    ... enc_concat = True
    ... gru_type = squeeze
    ... ''')
    >>> settings = settings_from_public_config(path)
    >>> settings["df_lookahead"], settings["channels"]
    (2, 16)
    """
    named = _named(config)
    _compare(config, named, {s: s.only for s in SETTINGS if not s.argument})
    return {
        s.argument: named.get(s, s.default) - s.surplus for s in SETTINGS if s.argument
    }


def check_public_config(config: str | Path, model: DeepFilterNet2) -> None:
    """Raise `ValueError` unless a `config.ini` of the package describes the model."""
    needed = {
        s: model.arguments[s.argument] + s.surplus if s.argument else s.only
        for s in SETTINGS
    }
    _compare(config, _named(config), needed)


def _compare(
    config: str | Path, named: dict[Setting, Value], needed: dict[Setting, Value]
) -> None:
    """Raise an error that lists every setting whose value is not the one needed."""
    wrong = [s for s, need in needed.items() if named.get(s, s.default) != need]
    lines = [f"{config} describes another model:"]
    for s in wrong:
        found = _text(named.get(s, s.default))
        found += "" if s in named else ", the package's default"
        ours = f"can only be {_text(needed[s])} here"
        if s.argument:
            has = f"{s.argument}={needed[s] - s.surplus}"
            ours = f"{needed[s]} of this model ({has})"
        lines.append(f"[{s.section}] {s.name} is {found}, but {ours}")
    advice = "Build the model with DeepFilterNet2(**settings_from_public_config(...))."
    if not all(setting.argument for setting in wrong):
        advice = "Weights of what can't be built here run in the package only."
    if wrong:
        raise ValueError("\n  ".join(lines) + "\n" + advice)


def _named(config: str | Path) -> dict[Setting, Value]:
    """Return the settings that the file names, from where the package looks."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        with open(config, encoding="utf-8") as file:
            parser.read_file(file)
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ValueError(
            f"{config} is not like the `config.ini` that the public package keeps "
            f"beside its checkpoints: {error}"
        ) from None
    named = {}
    for setting in SETTINGS:
        sections = [setting.section, "settings"]
        if setting.section == "df":
            sections.insert(0, "DF")
        if setting.name in ("df_order", "df_lookahead") and parser.has_section("df"):
            sections.insert(0, "deepfilternet")  # where the published files have them
        for section in sections:
            if parser.has_option(section, setting.name):
                text = parser[section][setting.name]
                named[setting] = _parse(config, setting, text)
                break
    return named


def _parse(config: str | Path, setting: Setting, text: str) -> Value:
    kind = type(setting.default)
    try:
        if kind is bool:
            return BOOLEANS[text.lower()]
        if kind is tuple:
            return tuple(int(part) for part in text.split(","))
        return text.lower() if kind is str else kind(text)
    except (ValueError, KeyError):
        raise ValueError(
            f"{config}: [{setting.section}] {setting.name} is {text!r}; it has to be "
            f"a value like {_text(setting.default)}."
        ) from None


def _text(value: Value) -> str:
    """Return a value as a file has it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
