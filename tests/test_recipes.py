"""Run every recipe that `tests/recipes/*.csv` lists, as SpeechBrain tests its own.

A row writes to `tests/tmp/<file>_row_<line>`. A row whose flags name another's folder
starts from what that one trained, which is then run first, once for all processes.
"""

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from dns_tree import make_tree
from filelock import FileLock
from hyperpyyaml import load_hyperpyyaml
from tiny_networks import save_tiny

ROOT = Path(__file__).parent.parent
TMP = ROOT / "tests" / "tmp"


def rows():
    """Return the rows of all tables, by the name of the folder they write to."""
    found = {}
    for table in sorted((ROOT / "tests" / "recipes").glob("*.csv")):
        with open(table, newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                found[f"{table.stem}_row_{number:02d}"] = row
    return found


ROWS = rows()
NEEDED = set(re.findall(r"tests/tmp/(\w+_row_\d+)", str(ROWS)))


def last_value(log, variable, line):
    """Return a variable of the log's line that starts so, such as `epoch: 2`."""
    lines = [x for x in log.read_text().splitlines() if x.startswith(line)]
    return float(re.search(rf"{variable}: ([-+.e\d]+)", lines[-1]).group(1))


def run(name, row):
    """Run a row's recipe."""
    output = TMP / name
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, row["Script_file"], row["Hparam_file"]]
    command += [f"--output_folder={output}", *row["test_debug_flags"].split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{row['Hparam_file']}:\n{done.stderr[-3000:]}"


@pytest.fixture(scope="session")
def needed(testrun_uid):
    """Make what rows start from, once a test run."""
    TMP.mkdir(exist_ok=True)
    with FileLock(TMP / "lock"):
        made = TMP / "made"
        if made.exists() and made.read_text() == testrun_uid:
            return
        save_tiny("WavLM", TMP / "tiny_wavlm")
        make_tree(TMP / "dns", ROOT / "samples" / "voicebank")
        for name in sorted(NEEDED):
            run(name, ROWS[name])
        made.write_text(testrun_uid)


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_recipes_run(name, needed):
    row, output = ROWS[name], TMP / name
    for field in ("Script_file", "Hparam_file", "Data_prep_file", "Readme_file"):
        assert (ROOT / row[field]).exists(), row[field]
    if name not in NEEDED:
        run(name, row)
    checks = row["test_debug_checks"]
    for file in re.search(r"file_exists=\[(.*?)\]", checks).group(1).split(","):
        assert (output / file).exists(), f"{row['Hparam_file']} wrote no {file}"
    check = re.search(r"performance_check=\[(.*?)\]", checks).group(1)
    log, variable, limit, line = (part.strip() for part in check.split(","))
    value = last_value(output / log, variable, line)
    assert value <= float(limit.removeprefix("<=")), (row["Hparam_file"], value)


def test_cdpam_takes_a_step(tmp_path, speech):
    """CDPAM is too slow for a whole run: 0.1 s of one clip through its YAML's loss."""
    path = ROOT / "recipes" / "VoiceBank" / "hparams" / "cdpam.yaml"
    overrides = {"output_folder": str(tmp_path), "data_folder": "", "channels": 8}
    overrides.update(hidden_size=32, baseline_folder="")
    with open(path, encoding="utf-8") as file:
        hparams = load_hyperpyyaml(file, overrides)
    enhancer, loss = hparams["modules"]["enhancer"], hparams["loss"]
    noisy = speech[:1, 8000:9600] + 0.01 * torch.randn(1, 1600)
    enhanced, outputs = enhancer(noisy, return_outputs=True)
    loss.start_phase_two()
    outputs = {"noisy": noisy, **outputs}
    terms = loss.terms(enhanced, speech[:1, 8000:9600], None, outputs)
    assert set(terms) == {"df", "cdpam"}
    loss.total(terms).backward()
    gradients = [w.grad for w in enhancer.parameters() if w.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("recipe", ["VoiceBank", "DNS"])
def test_systems_differ_in_nothing_but_the_experiment(recipe):
    """Any two systems' YAML files differ in the header and the added loss alone."""
    folder = ROOT / "recipes" / recipe / "hparams"
    experiment = re.compile(
        r"^(#|system:|number_of_epochs:|phase_two_epochs:|baseline_folder:"
        r"|freeze_encoder:|refresh:|mal:|random:|    added:"
        r"|        \w+: !new:\S+Loss$|            (loss: !new:\S+Loss$|sample_rate:)"
        r"|    weights:|        \w+: !ref <\w+_weight>"
        r"|            weight: !ref <(mal\[weight\]|\w+_weight)>|            balance:"
        r"|\w+_weight:|                (encoder|refresh|layers|distance|reduction"
        r"|normalize|decay|collapse_below|sample_rate): "
        r"|                    (front_end|network|sample_rate): )"
    )
    common = {}
    for path in folder.glob("*.yaml"):
        lines = path.read_text().splitlines()
        kept, skip = [], False
        for line in lines:
            network = line.startswith(("random:", "wavlm:", "wavlm_source:"))
            skip = network or (skip and line.startswith("    "))
            if not skip and not experiment.match(line):
                kept.append(line)
        common[path.name] = kept
    assert len(common) == {"VoiceBank": 16, "DNS": 17}[recipe]  # and enhancer.yaml
    # The conventional loss is a ...Loss of its own.
    assert all(lines == common["baseline.yaml"] for lines in common.values())
    assert all(
        "df: !new:speechbrain_mal.losses.DeepFilterNetLoss" in path.read_text()
        for path in folder.glob("*.yaml")
    )


def test_systems_are_the_same_in_both_recipes():
    """A system's header, model and loss are those of the other recipe's."""
    for path in (ROOT / "recipes" / "VoiceBank" / "hparams").glob("*.yaml"):
        parts = []
        for recipe in ("VoiceBank", "DNS"):
            text = (ROOT / "recipes" / recipe / "hparams" / path.name).read_text()
            header = text[: text.index("data_folder:")].rpartition("\n\n")[0]
            header = re.sub("number_of_epochs: [0-9]+", "", header)
            model = re.split("\n\n(# A step|batch_size)", text[text.index("model: ") :])
            parts.append(header + model[0])
        assert parts[0] == parts[1], path.name
