"""A configuration file of the public package is read as the package reads it."""

import configparser
import copy
import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from models.make_golden import config_ini

from speechbrain_mal.models import DeepFilterNet2, settings_from_public_config
from speechbrain_mal.models.public_weights import BOOLEANS, SETTINGS

GOLDEN = Path(__file__).parent / "golden"
# Read by the package, and without effect on its DeepFilterNet2: the output of a golden
# model is the same, to the bit, with each of these changed.
WITHOUT_EFFECT = {
    "conv_depthwise": "False",
    "convt_depthwise": "False",
    "gru_groups": "1",
    "group_shuffle": "True",
    "pad_mode": "output",
}
# Another value of each setting; the package computes something else with it, cannot
# take the weights, or cannot be built.
OTHERS = {
    "model": "deepfilternet3",
    "mask_only": "True",
    "sr": "8000",
    "fft_size": "640",
    "hop_size": "80",
    "nb_erb": "24",
    "min_nb_erb_freqs": "1",
    "nb_df": "48",
    "df_order": "4",
    "df_lookahead": "5",
    "norm_tau": "2",
    "lsnr_min": "-10",
    "lsnr_max": "40",
    "conv_lookahead": "0",
    "conv_ch": "16",
    "conv_kernel": "2,3",
    "conv_kernel_inp": "1,3",
    "emb_hidden_dim": "32",
    "emb_num_layers": "2",
    "df_hidden_dim": "32",
    "df_num_layers": "3",
    "df_gru_skip": "identity",
    "df_output_layer": "linear",
    "df_pathway_kernel_size_t": "1",
    "df_n_iter": "2",
    "dfop_method": "real_unfold",
    "enc_concat": "False",
    "gru_type": "grouped",
    "linear_groups": "4",
    "mask_pf": "True",
}
OURS_ALONE = "level_invariant"  # off, which is what the package computes
BY_NAME = {setting.name: setting for setting in SETTINGS}
with np.load(GOLDEN / "16k_8_channels.npz") as file:
    CONF = json.loads(file["conf"].item())
    WEIGHTS = {k[2:]: torch.from_numpy(v) for k, v in file.items() if k[:2] == "w."}


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.ini"
    path.write_text(config_ini(CONF))
    return path


@pytest.fixture(scope="module")
def model():
    return DeepFilterNet2(**CONF)


def edit(config, name, value):
    """Set an option wherever the file has it, or in its section; None removes it."""
    parser = configparser.ConfigParser()
    parser.read(config)
    sections = [s for s in parser.sections() if parser.has_option(s, name)]
    if not sections:
        sections = [BY_NAME[name].section if name in BY_NAME else "df"]
    for section in sections:
        if value is None:
            parser.remove_option(section, name)
        else:
            parser[section][name] = value
    with open(config, "w") as file:
        parser.write(file)


def says(setting, value):
    """Return a pattern of the line of an error."""
    return re.escape(f"[{setting.section}] {setting.name} is {value}")


def test_table_has_every_setting_that_the_package_reads_and_its_default():
    defaults = configparser.ConfigParser()
    defaults.read(GOLDEN / "defaults.ini")
    read = {(s, name) for s in defaults.sections() for name in defaults[s]}
    # The file is of the model's own; these two decide which model is built at all.
    table = {(s.section, s.name): s.default for s in SETTINGS if s.section != "train"}
    assert {name for _, name in read - table.keys()} == set(WITHOUT_EFFECT)
    assert table.keys() <= read
    for (section, name), default in table.items():
        text = defaults[section][name]
        if isinstance(default, bool):
            assert BOOLEANS[text.lower()] == default
        elif isinstance(default, tuple):
            assert [int(part) for part in text.split(",")] == list(default)
        else:
            assert type(default)(text) == default
    arguments = set(inspect.signature(DeepFilterNet2).parameters) - {OURS_ALONE}
    assert {s.argument for s in SETTINGS if s.argument} == arguments
    assert OTHERS.keys() == BY_NAME.keys()  # every setting is tested


@pytest.mark.parametrize("name", OTHERS)
def test_another_value_is_refused_by_name_or_is_another_model(config, model, name):
    setting, value = BY_NAME[name], OTHERS[name]
    edit(config, name, value)
    with pytest.raises(ValueError, match=says(setting, value)) as error:
        model.load_public_weights(WEIGHTS, config)
    first, line, advice = str(error.value).splitlines()  # and nothing but it
    assert first == f"{config} describes another model:"
    assert ("settings_from_public_config" in advice) == bool(setting.argument)
    if setting.argument:
        other = {setting.argument: float(value) - setting.surplus}
        expected = {"tau_seconds": 1.0, **CONF, **other}
        assert settings_from_public_config(config) == expected
    else:
        line = f"{says(setting, value)}, but can only be"
        with pytest.raises(ValueError, match=line):
            settings_from_public_config(config)


@pytest.mark.parametrize("name", OTHERS)
def test_setting_that_is_not_named_is_the_package_s_default(config, model, name):
    setting = BY_NAME[name]
    edit(config, name, None)
    ours = CONF.get(setting.argument, 1.0) + setting.surplus
    if setting.default == (ours if setting.argument else setting.only):
        model.load_public_weights(WEIGHTS, config)
    else:
        line = says(setting, setting.default) + ", the package's default, but"
        with pytest.raises(ValueError, match=line):
            model.load_public_weights(WEIGHTS, config)


def test_error_lists_all_and_nothing_is_loaded(model):
    # The defaults are a model that this one is not in almost anything.
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="describes another model") as error:
        model.load_public_weights(WEIGHTS, GOLDEN / "defaults.ini")
    for part in (
        "[df] sr is 48000, but 16000 of this model (sample_rate=16000)",
        "[deepfilternet] emb_num_layers is 2, but 3 of this model (erb_layers=2)",
        "[deepfilternet] df_n_iter is 2, but can only be 1 here",
        "[train] model is deepfilternet3, the package's default, but",
        "run in the package only",
    ):
        assert part in str(error.value)
    assert all(torch.equal(x, before[k]) for k, x in model.state_dict().items())


def test_published_configuration_is_the_default_model(tmp_path):
    parameters = inspect.signature(DeepFilterNet2).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.name != OURS_ALONE}
    defaults |= {"n_fft": 960, "hop_length": 480}
    path = tmp_path / "config.ini"
    path.write_text(config_ini(defaults))
    assert settings_from_public_config(path) == defaults


def test_words_letters_and_what_has_no_effect_are_read_as_by_the_package(config, model):
    for name, value in WITHOUT_EFFECT.items():
        edit(config, name, value)
    edit(config, "enc_concat", "YES")
    edit(config, "mask_pf", "off")
    edit(config, "df_gru_skip", "None")
    edit(config, "conv_kernel", " 1, 3")
    text = config.read_text().replace("df_n_iter", "DF_N_ITER")
    config.write_text(text + "\n[logs]\nformat = %(asctime)s %d\n")  # nothing is run
    model.load_public_weights(WEIGHTS, config)


@pytest.mark.parametrize(
    ("before", "after", "argument", "value"),
    [
        # The deep filter's settings are looked for in the model's section first,
        ("[df]", "[df]\ndf_order = 7", "df_order", CONF["df_order"]),
        # but only beside a section [df].
        ("[df]", "[df of another program]", "df_lookahead", 0),
        ("sr = 16000", "[DF]\nsr = 8000\n[x]", "sample_rate", 8000),
        ("sr = 16000", "[settings]\nsr = 8000\n[x]", "sample_rate", 8000),
    ],
)
def test_sections_that_the_package_looks_in(config, before, after, argument, value):
    config.write_text(config.read_text().replace(before, after))
    assert settings_from_public_config(config)[argument] == value


@pytest.mark.parametrize(
    ("name", "value"),
    [("sr", "16 kHz"), ("mask_pf", "perhaps"), ("conv_kernel", "1x3"), ("sr", "")],
)
def test_value_that_can_t_be_read_is_an_error(config, name, value):
    edit(config, name, value)
    with pytest.raises(ValueError, match=rf"config\.ini: .*{name} is {value!r}; it"):
        settings_from_public_config(config)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"sr = 16000\n", r"config\.ini is not like .*checkpoints"),
        (b"\x80\x02}q\x00.", r"config\.ini is not like .*checkpoints"),
        (b"[df]\nsr", r"config\.ini is not like .*checkpoints"),
        (b"", "model is deepfilternet3, the package's"),
    ],
)
def test_file_of_another_kind_is_an_error(config, content, message):
    config.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        settings_from_public_config(config)
    with pytest.raises(FileNotFoundError, match="none.ini"):
        settings_from_public_config(config.with_name("none.ini"))
