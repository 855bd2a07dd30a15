"""The command line as a user meets it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from conftest import SAMPLES

from speechbrain_mal import cli
from speechbrain_mal.cli.scoring import INCOMPLETE

NOISY, CLEAN = (SAMPLES / f"{kind}_testset_wav_16k" for kind in ("noisy", "clean"))
FAST = ["--metrics", "estoi", "si_sdr", "--jobs", "1"]
EVALUATE = ["evaluate", "--enhanced", "."]


@pytest.fixture
def systems(tmp_path):
    """Two "systems" that remove 6 dB and 12 dB of the noise."""
    folders = []
    for name, factor in (("six", 0.5), ("twelve", 0.25)):
        folder = tmp_path / name
        folder.mkdir()
        for path in sorted(NOISY.iterdir()):
            noisy, rate = soundfile.read(path)
            clean, _ = soundfile.read(CLEAN / path.name)
            soundfile.write(folder / path.name, clean + factor * (noisy - clean), rate)
        folders.append(folder)
    return folders


def test_evaluate(systems, tmp_path, capsys):
    out = tmp_path / "scores"
    arguments = ["evaluate", "--enhanced", str(systems[0]), "--clean", str(CLEAN)]
    assert cli.main([*arguments, *FAST, "-o", str(out)]) == 0
    printed = capsys.readouterr().out
    assert printed == (out / "scores.md").read_text() and "| SI-SDR (dB) |" in printed
    record = json.loads((out / "scores.json").read_text())
    assert record["command"].startswith("speechbrain-mal evaluate --enhanced")
    assert record["versions"]["pystoi"]
    # A broken clip is named, and the exit status says so; its mean is that of the rest.
    (systems[0] / "broken.wav").write_bytes(b"no audio")
    assert cli.main([*arguments, *FAST, "-o", str(out)]) == INCOMPLETE
    assert "broken.wav: not a readable audio file" in capsys.readouterr().out
    assert json.loads((out / "scores.json").read_text())["means"] == record["means"]


def test_compare(systems, tmp_path, capsys):
    out = tmp_path / "comparison"
    log = tmp_path / "log.txt"
    names = sorted(path.stem for path in NOISY.iterdir())
    log.write_text(
        "".join(f"{name} hum {i % 2 * 10}\n" for i, name in enumerate(names))
    )
    folders = [str(systems[0]), f"more={systems[1]}"]
    options = ["--clean", str(CLEAN), "--noisy", str(NOISY), "--log", str(log)]
    assert cli.main(["compare", *folders, *options, *FAST, "-o", str(out)]) == 0
    record = json.loads((out / "comparison.json").read_text())
    gains = {
        row["system"]: row["difference"]
        for row in record["rows"]
        if row["column"] == "si_sdr"
    }
    assert gains["noisy"] is None and gains["six"] is None
    assert gains["more"][0] == pytest.approx(6.0, abs=0.1)  # dB; 16-bit files
    text = capsys.readouterr().out
    assert "### SI-SDR (dB) by SNR (dB)" in text and "### ESTOI by noise" in text
    for picture in ("differences.png", "by_snr.png", "by_noise.png"):
        assert (out / picture).stat().st_size > 5000
    assert (out / "index.html").read_text().count("data:audio/flac") == 4 * len(names)


def test_names_lead_nowhere_and_pictures_no_terminal(systems, tmp_path, capsys):
    """What a file or a system is called is text, wherever it is shown."""
    odd = "=1+1 <img src=x onerror=alert(1)> \x1b[2J | \udcff"
    for folder in systems:
        shutil.copy(CLEAN / "p232_002.flac", folder / f"{odd}.flac")
    clean = shutil.copytree(CLEAN, tmp_path / "clean")
    shutil.copy(CLEAN / "p232_002.flac", clean / f"{odd}.flac")
    (clean / "gone\x1b[31m.wav").write_bytes(b"")
    out = tmp_path / "out"
    for name in ("../x", "..", "a/b", "\x1b[1m"):
        command = ["compare", f"{name}={systems[0]}", "--clean", str(clean)]
        assert cli.main([*command, *FAST, "-o", str(out)]) == 1
        assert "can't be a system's name" in capsys.readouterr().err
    assert not out.exists() and sorted(tmp_path.iterdir()) == sorted([clean, *systems])
    command = ["compare", f"<b>$^$|={systems[0]}", f"two={systems[1]}"]
    command += ["--clean", str(clean), *FAST, "-o", str(out)]
    assert cli.main(command) == INCOMPLETE
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out and "gone\\x1b[31m" in printed.out
    assert "SI-SDR (dB) is infinite, and left out of the mean, of 1 clip" in printed.out
    record = json.loads((out / "comparison.json").read_text())
    assert record["infinite"]["two"] == {"si_sdr": [odd]}
    assert "\x1b" not in (out / "comparison.md").read_text()
    page = (out / "index.html").read_text()
    assert "<img src=x" not in page and "<b>$" not in page
    for line in (out / "scores" / "two" / "scores.csv").read_text().splitlines():
        assert line.lstrip('"')[0] not in "=+-@\t"


def test_a_manifest_brings_the_noisy_and_clean_clips(systems, tmp_path):
    entries = {
        path.stem: {
            f"{kind}_wav": f"{{data_root}}/{kind}_testset_wav_16k/{path.name}"
            for kind in ("noisy", "clean")
        }
        for path in NOISY.iterdir()
    }
    run = tmp_path / "results" / "mine" / "1234"
    shutil.copytree(systems[0], run / "enhanced_testset")
    (run / "test.json").write_text(json.dumps(entries))
    source = ["--manifest", str(run / "test.json"), "--data-folder", str(SAMPLES)]
    out = tmp_path / "out"
    command = ["compare", str(run), *source, *FAST, "--listen", "0", "-o", str(out)]
    assert cli.main(command) == 0
    assert sorted(p.name for p in (out / "scores").iterdir()) == ["mine", "noisy"]
    assert not (out / "index.html").exists()


def test_a_killed_evaluation_goes_on_where_it_was(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(60):
        soundfile.write(folder / f"{i:02}.wav", 0.1 * rng.normal(size=40000), 16000)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "speechbrain_mal.cli", "evaluate", *FAST]
    command += ["--enhanced", str(folder), "--clean", str(folder), "-o", str(out)]
    command[command.index("--jobs") + 1] = "2"
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    progress = out / "progress.jsonl"
    for _ in range(1200):
        time.sleep(0.05)
        if progress.exists() and progress.read_bytes().count(b"\n") > 5:
            break
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    done = progress.read_bytes().count(b"\n")
    assert 5 < done < 60 and not (out / "scores.csv").exists()
    assert subprocess.run(command, capture_output=True).returncode == 0
    lines = [json.loads(line) for line in progress.read_text().splitlines()]
    assert len(lines) == 60 and len({line[0] for line in lines}) == 60


def test_help_answers_without_torch():
    code = "import sys; from speechbrain_mal import cli; print('torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert result.stdout.strip() == "False", result.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["enhance", "", "-o", "o"], 2, "an argument is empty"),
        (["enhance", "a.wav", "-o", ""], 2, "an argument is empty"),
        (["enhance", "a.wav", "-o", "o", "--jobs", "0"], 2, "'0' is not a number of"),
        ([*EVALUATE, "--jobs", "-3"], 2, "'-3' is not a number"),
        (["evaluate"], 2, "one of the arguments --enhanced --list is required"),
        (["evaluate", "--enhanced", "nowhere"], 1, "nowhere is not a folder."),
        ([*EVALUATE, "--metrics", "mos"], 1, "No metric ['mos']"),
        ([*EVALUATE, "--option", "a.b=["], 1, "'[' is no YAML"),
        ([*EVALUATE, "--option", "w=x"], 1, "w=x: write METRIC.NAME=VALUE."),
        ([*EVALUATE, "--option", "si_sdr.x=1"], 1, "no option 'x': it has none."),
        (
            [*EVALUATE, "--option", "scoreq.domain=x"],
            1,
            "no domain 'x': choose natural",
        ),
        (["compare", "a=x", "a=y"], 1, "Two systems have the same name, a"),
        (["enhance", ".", "-o", "a.wav"], 1, "a.wav: File exists."),
        (["enhance", "a.wav", "-o", "o.wva"], 1, "did you mean '.wav'?"),
        (["enhance", "a.wav", "-o", "o.flca"], 1, "did you mean '.flac'?"),
        (["enhance", "a.wav", "-o", "o", "--device", "x"], 1, "Device 'x' can't be"),
        (["enhance", "a.wav", "-o", "o", "--device", "meta"], 1, "Device 'meta'"),
        (["live", "--input", "a.wav", "--output", "./a.wav"], 1, "is the input"),
        (["live", "--input", "a.wav", "--output", "o", "--block-ms", "nan"], 1, "nan"),
    ],
)
def test_wrong_arguments_are_named(
    arguments, status, said, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.wav", np.full(1600, 0.1), 16000)
    before = (tmp_path / "a.wav").read_bytes()
    try:
        assert cli.main(arguments) == status
    except SystemExit as error:
        assert error.code == status
    error = capsys.readouterr().err
    assert said in error and (status == 2 or "\n" not in error.strip())
    assert os.listdir() == ["a.wav"] and (tmp_path / "a.wav").read_bytes() == before


def test_a_failure_stays_out_of_the_audio_of_a_pipe(tmp_path):
    command = [sys.executable, "-m", "speechbrain_mal.cli", "enhance", "-", "-o", "-"]
    done = subprocess.run(command, input=b"no audio", capture_output=True)
    assert done.returncode == INCOMPLETE and not done.stdout
    assert b"not a readable audio file" in done.stderr


def test_what_ends_a_command_leaves_nothing_half_written(tmp_path):
    folder, out = tmp_path / "long", tmp_path / "out"
    folder.mkdir()
    soundfile.write(folder / "a.wav", np.full(16000 * 600, 0.1), 16000)
    command = [sys.executable, "-m", "speechbrain_mal.cli", "enhance", str(folder)]
    running = subprocess.Popen([*command, "-o", str(out), "--quiet"])
    for _ in range(6000):
        time.sleep(0.01)
        if list(out.glob(".*.partial")):
            break
    running.terminate()
    assert running.wait() == 128 + signal.SIGTERM
    assert os.listdir(out) == ["enhance.json"]
