"""Run every recipe that `tests/recipes/*.csv` lists, as SpeechBrain tests its own.

Rows of a file run in order and write to `tests/tmp/<file>_row_<line>`, so that a row
can start from what an earlier one trained.
"""

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_networks import save_tiny

ROOT = Path(__file__).parent.parent
TABLES = sorted((ROOT / "tests" / "recipes").glob("*.csv"))


def last_value(log, variable, line):
    """Return a variable of the log's line that starts so, such as `epoch: 2`."""
    lines = [x for x in log.read_text().splitlines() if x.startswith(line)]
    return float(re.search(rf"{variable}: ([-+.e\d]+)", lines[-1]).group(1))


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.stem)
def test_recipes_run(table):
    with open(table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, skipinitialspace=True))
    save_tiny("WavLM", ROOT / "tests" / "tmp" / "tiny_wavlm")
    for number, row in enumerate(rows, start=2):
        output = ROOT / "tests" / "tmp" / f"{table.stem}_row_{number:02d}"
        shutil.rmtree(output, ignore_errors=True)
        for field in ("Script_file", "Hparam_file", "Data_prep_file", "Readme_file"):
            assert (ROOT / row[field]).exists(), row[field]
        command = [sys.executable, row["Script_file"], row["Hparam_file"]]
        command += [f"--output_folder={output}", *row["test_debug_flags"].split()]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert run.returncode == 0, f"{row['Hparam_file']}:\n{run.stderr[-3000:]}"
        checks = row["test_debug_checks"]
        for name in re.search(r"file_exists=\[(.*?)\]", checks).group(1).split(","):
            assert (output / name).exists(), f"{row['Hparam_file']} wrote no {name}"
        check = re.search(r"performance_check=\[(.*?)\]", checks).group(1)
        log, variable, limit, line = (part.strip() for part in check.split(","))
        value = last_value(output / log, variable, line)
        assert value <= float(limit.removeprefix("<=")), (row["Hparam_file"], value)


def test_systems_differ_in_nothing_but_the_experiment():
    """Any two systems' YAML files differ in the header and the added loss alone."""
    folder = ROOT / "recipes" / "VoiceBank" / "hparams"
    experiment = re.compile(
        r"^(#|system:|number_of_epochs:|phase_two_epochs:|baseline_folder:"
        r"|freeze_encoder:|refresh:|mal:|random:|    added:|        \w+: !new:\S+Loss$"
        r"|    weights:|        \w+: !ref <mal\[weight\]>|    balance:"
        r"|            (encoder|layers|distance|reduction|normalize|decay"
        r"|collapse_below): |                (front_end|network|sample_rate): )"
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
    assert len(common) == 14
    # The conventional loss is a ...Loss of its own.
    assert all(lines == common["baseline.yaml"] for lines in common.values())
    assert all(
        "df: !new:speechbrain_mal.losses.DeepFilterNetLoss" in path.read_text()
        for path in folder.glob("*.yaml")
    )
