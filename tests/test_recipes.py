"""The recipes' scripts run, and their READMEs and YAML say the same."""

import csv
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import speechbrain as sb
import yaml
from conftest import ROOT, SAMPLES
from hyperpyyaml import load_hyperpyyaml
from recipe_run import SYSTEMS, make_brain

from speechbrain_mal.settings import with_loss_file

RECIPES = ROOT / "recipes"


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["VoiceBank", "DNS"])
def test_script_runs(recipe, tmp_path, tree):
    """Run a recipe as `tests/recipes/*.csv`, in SpeechBrain's format, says."""
    with open(ROOT / "tests" / "recipes" / f"{recipe}.csv", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    for field in ("Data_prep_file", "Readme_file"):
        assert (ROOT / row[field]).exists(), row[field]
    if recipe == "DNS":
        for kind in ("noisy", "clean"):
            (tmp_path / kind).mkdir()
            for path in (SAMPLES / f"{kind}_testset_wav_16k").glob("*_001.flac"):
                shutil.copy(path, tmp_path / kind)
    flags = row["test_debug_flags"].replace("tests/tmp/dns", tree)
    flags = flags.replace("tests/tmp", str(tmp_path)).split()
    output = tmp_path / "output"
    command = [sys.executable, row["Script_file"], row["Hparam_file"], *flags]
    command.append(f"--output_folder={output}")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    checks = row["test_debug_checks"]
    for file in re.search(r"file_exists=\[(.*?)\]", checks).group(1).split(","):
        assert (output / file).exists(), file
    check = re.search(r"performance_check=\[(.*?)\]", checks).group(1)
    log, variable, limit, epoch = (part.strip() for part in check.split(","))
    line = [x for x in (output / log).read_text().splitlines() if x.startswith(epoch)]
    value = re.search(rf"{variable}: ([-+.e\d]+)", line[0]).group(1)
    assert float(value) <= float(limit.removeprefix("<="))
    assert "train mal: " in line[0]


def test_table_of_flags_is_that_of_the_experiments():
    text = (RECIPES / "VoiceBank" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (?:`(--.*?)`)? ?\|", text, re.M)
    shown = {}
    for name, flags in rows:
        overrides = sb.parse_arguments(["train.yaml", *shlex.split(flags)])[2]
        shown[name] = yaml.safe_load(overrides) or {}
    assert shown == SYSTEMS


def test_recipes_share_model_and_loss():
    """A system is the same in both recipes, but for data, optimizer and tests."""
    parts = []
    for recipe in ("VoiceBank", "DNS"):
        text = (RECIPES / recipe / "hparams" / "train.yaml").read_text()
        parts.append(text[text.index("enhancer: ") : text.index("\nbatch_size")])
    assert parts[0] == parts[1]


def test_every_loss_file_is_a_system_or_trains_enhancers_to_ship():
    files = {path.name for path in (RECIPES / "losses").glob("*.yaml")}
    named = [flags["loss_file"] for flags in SYSTEMS.values() if "loss_file" in flags]
    used = {(RECIPES / "DNS" / name).resolve().name for name in named}
    assert files == used | {"pesq_stoi_snr.yaml"}


def test_command_line_counts_over_the_loss_file(tmp_path):
    options = {"baseline_folder": "x", "network_weight": 2.0, "mal_weight": 0.5}
    added = make_brain(tmp_path, "mal_random", **options).loss.added
    assert {name: term.weight for name, term in added.items()} == {
        "mal": 0.5,
        "random": 2.0,
    }


def test_errors_name_the_flag(tmp_path):
    train_yaml = RECIPES / "VoiceBank" / "hparams" / "train.yaml"
    with pytest.raises(ValueError, match="loss_file wavlm is no file: recipes/losses"):
        with_loss_file(train_yaml, "loss_file: wavlm")
    wrong = {"loss_file": str(RECIPES / "losses" / "random.yaml"), "mal_weigth": 1}
    with open(train_yaml) as file, pytest.raises(KeyError, match="mal_weigth"):
        load_hyperpyyaml(file, with_loss_file(train_yaml, wrong))
    # Named in one's own copy of the recipe's YAML, it counts, too.
    own = tmp_path / "own.yaml"
    own.write_text(f"loss_file: {wrong['loss_file']}\nmal_weight: 1\n")
    assert "mal_weight: 0" in with_loss_file(own, "")
