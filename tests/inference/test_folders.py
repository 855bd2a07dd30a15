"""Many files: nothing is done twice, lost, half-written or mixed up."""

import json
import os
import subprocess
import sys
import time
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile
import torch

from speechbrain_mal import MALEnhancement, cli
from speechbrain_mal.cli.scoring import INCOMPLETE
from speechbrain_mal.inference import enhance_files


@pytest.fixture
def enhancer(exported):
    return MALEnhancement.from_hparams(exported)


@pytest.fixture
def noisy(tmp_path):
    """Return a folder of clips in two formats, one of them deeper down."""
    folder = tmp_path / "noisy"
    (folder / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.wav", "b.flac", "deep/a.wav"):
        samples = 0.1 * rng.standard_normal(8000 + len(name))
        soundfile.write(folder / name, samples, 16000, subtype="PCM_16")
    (folder / "notes.txt").write_text("no audio, and not said to be")
    return folder


def files_in(folder):
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    )


def test_files_keep_names_places_and_formats(enhancer, noisy, tmp_path):
    report = enhancer.enhance_folder(noisy, tmp_path / "out", progressbar=False)
    assert files_in(tmp_path / "out") == [
        "a.wav",
        "b.flac",
        "deep/a.wav",
        "enhance.json",
        "enhance.jsonl",
    ]
    assert len(report.enhanced) == 3 and not report.failures and not report.skipped
    assert report.audio_seconds == pytest.approx(1.5, abs=0.01)
    samples, _ = soundfile.read(noisy / "b.flac", dtype="float32")
    expected = enhancer.enhance_batch(torch.from_numpy(samples)[None])[0].numpy()
    actual, _ = soundfile.read(tmp_path / "out" / "b.flac", dtype="float32")
    np.testing.assert_allclose(actual, expected, atol=4e-5)  # 16 bits: steps of 3e-5


def test_a_second_call_does_what_is_new(enhancer, noisy, tmp_path):
    out = tmp_path / "out"
    enhancer.enhance_folder(noisy, out, progressbar=False)
    before = (out / "a.wav").stat().st_mtime_ns
    past = time.time() - 10**6
    os.utime(noisy / "b.flac", (past, past))  # replaced by an older file
    report = enhancer.enhance_folder(noisy, out, progressbar=False)
    assert [path.name for path in report.enhanced] == ["b.flac"]
    assert len(report.skipped) == 2 and (out / "a.wav").stat().st_mtime_ns == before


def test_what_others_made_is_not_mixed_in(enhancer, noisy, tmp_path, small_model):
    out = tmp_path / "out"
    enhancer.enhance_folder(noisy, out, progressbar=False)
    with pytest.raises(ValueError, match="another enhancer, or with other options"):
        enhancer.enhance_folder(noisy, out, atten_lim_db=6.0, progressbar=False)
    with torch.no_grad():
        small_model.erb_dec.conv0_out[1].bias += 1
    other = MALEnhancement({"enhancer": small_model}, {"sample_rate": 16000})
    with pytest.raises(ValueError, match="another enhancer"):
        other.enhance_folder(noisy, out, progressbar=False)


def test_what_cannot_be_read_is_named_and_the_rest_done(enhancer, noisy, tmp_path):
    (noisy / "text.wav").write_text("no audio")
    soundfile.write(noisy / "none.wav", np.zeros(0), 16000)
    soundfile.write(noisy / "nan.wav", [0.0, np.nan], 16000, subtype="FLOAT")
    one, two = tmp_path / "one", tmp_path / "two"
    for jobs, out in enumerate((one, two), start=1):
        report = enhancer.enhance_folder(noisy, out, jobs=jobs, progressbar=False)
        assert len(report.enhanced) == 3
        reasons = {path.name: why for path, why in report.failures.items()}
        assert "not a readable audio file" in reasons["text.wav"]
        assert "holds no samples" in reasons["none.wav"]
        assert "NaN or infinite" in reasons["nan.wav"]
        assert "3 failed" in str(report) and "text.wav" in str(report)
        assert not (out / "text.wav").exists()
    for name in set(files_in(one)) - {"enhance.jsonl"}:  # in any order
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        (["noisy"], "noisy", "is the input, too"),
        (["nowhere"], "out", "nowhere: there is no such file or folder"),
        (["empty"], "out", "holds no audio file"),
    ],
)
def test_wrong_places_are_named(enhancer, noisy, tmp_path, inputs, output, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        enhance_files(enhancer, [tmp_path / name for name in inputs], tmp_path / output)
    assert not (tmp_path / "out").exists()


def test_of_two_with_one_output_the_second_fails(enhancer, noisy, tmp_path):
    both = [noisy / "a.wav", noisy / "deep" / "a.wav"]
    report = enhance_files(enhancer, both, tmp_path / "out", progressbar=False)
    assert report.enhanced == both[:1]
    assert "has the same output" in report.failures[both[1]]


def test_no_input_is_replaced_by_anothers_output(enhancer, noisy):
    before = (noisy / "a.wav").read_bytes()
    (noisy / "linked.wav").symlink_to("deep/a.wav")
    for inputs in (["deep/a.wav", "a.wav"], ["a.wav", "deep/a.wav"], ["linked.wav"]):
        inputs = [noisy / name for name in inputs]
        report = enhance_files(enhancer, inputs, noisy, progressbar=False)
        assert "its output would replace" in report.failures[inputs[0]]
        assert not report.enhanced and (noisy / "a.wav").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 1}, "sample rate of 1 Hz"),
        ({"sample_rate": 0}, "sample rate of 0 Hz"),
        ({"atten_lim_db": float("nan")}, "0 dB or more, not nan"),
        ({"subtype": "PCM_99"}, "No subtype 'PCM_99': choose from"),
        ({"subtype": ""}, "No subtype ''"),
        ({"suffix": ".raw"}, "no format '.raw' to write"),
    ],
)
def test_a_wrong_option_is_the_calls_and_claims_no_folder(
    enhancer, noisy, tmp_path, options, message
):
    with pytest.raises(ValueError, match=message):
        enhancer.enhance_folder(noisy, out := tmp_path / "out", **options)
    assert not out.exists()


def test_no_limit_is_an_infinite_one(enhancer, noisy, tmp_path):
    for limit, skipped in ((float("inf"), 0), (float("inf"), 3), (None, 3)):
        options = {"atten_lim_db": limit, "progressbar": False}
        report = enhancer.enhance_folder(noisy, tmp_path / "out", **options)
        assert len(report.skipped) == skipped


def test_an_outputs_name_that_is_too_long_is_that_files_fault(enhancer, tmp_path):
    (folder := tmp_path / "noisy").mkdir()
    for name in ("x" * 251 + ".wav", "y.wav"):  # 256 bytes as FLAC, of 255
        soundfile.write(folder / name, np.full(800, 0.1), 16000)
    out, options = tmp_path / "out", {"suffix": ".flac", "progressbar": False}
    report = enhancer.enhance_folder(folder, out, **options)
    assert [path.name for path in report.enhanced] == ["y.wav"]
    assert "too long" in report.failures[folder / ("x" * 251 + ".wav")]


def test_a_file_that_takes_too_much_memory_is_named(enhancer, noisy, tmp_path):
    enhancer.enhance_file = Mock(side_effect=MemoryError)
    report = enhancer.enhance_folder(noisy, tmp_path / "out", progressbar=False)
    assert report.failures[noisy / "a.wav"].endswith("a.wav: out of memory")


def test_an_output_inside_the_input_is_no_input(enhancer, noisy):
    for number in (3, 0):
        report = enhancer.enhance_folder(noisy, noisy / "out", progressbar=False)
        assert len(report.enhanced) == number


def test_a_file_in_the_outputs_place_is_an_error(enhancer, noisy, tmp_path):
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="out"):
        enhancer.enhance_folder(noisy, tmp_path / "out", progressbar=False)


# -------------------------------------------------------------------- the command line


def test_command(exported, noisy, tmp_path, capsys):
    command = ["enhance", str(noisy), "-o", str(tmp_path / "out"), "--quiet"]
    command += ["--model", str(exported)]
    assert cli.main(command) == 0
    assert "3 enhanced" in (printed := capsys.readouterr()).out and not printed.err
    (noisy / "text.wav").write_text("no audio")
    assert cli.main(command) == INCOMPLETE
    assert "0 enhanced, 3 already there, 1 failed" in capsys.readouterr().out
    one = ["enhance", str(noisy / "a.wav"), "-o", str(tmp_path / "one.flac")]
    assert cli.main([*one, "--model", str(exported), "--quiet"]) == 0
    samples = [
        soundfile.read(path)[0]
        for path in (tmp_path / "one.flac", tmp_path / "out" / "a.wav")
    ]
    # libsndfile rounds for FLAC and cuts for WAV: a step of 16 bits.
    np.testing.assert_allclose(*samples, atol=3.1e-5)
    over = ["enhance", str(noisy / "a.wav"), "-o", str(noisy / "a.wav")]
    assert cli.main([*over, "--model", str(exported), "--quiet"]) == INCOMPLETE
    assert "the output is the input" in capsys.readouterr().out
    assert cli.main([*command[:-1], str(tmp_path / "nowhere")]) == 1
    assert "neither a folder nor a hub id" in capsys.readouterr().err


def test_what_an_output_cannot_hold_is_that_files_fault(enhancer, noisy, tmp_path):
    soundfile.write(noisy / "six.wav", np.full((800, 6), 0.1), 16000)
    soundfile.write(noisy / "loud.wav", np.full(8000, 3.0), 16000, subtype="FLOAT")
    options = {"suffix": ".mp3", "atten_lim_db": 0, "progressbar": False}
    report = enhance_files(
        enhancer, [noisy / "six.wav", noisy], tmp_path / "o", **options
    )
    (failure,) = {*report.failures.values()}
    assert "can't hold 6 channel(s)" in failure and len(report.enhanced) == 4
    assert report.notes == {
        noisy / "loud.wav": "8000 samples beyond full scale were clipped"
    }


def test_standard_input_and_output(exported, noisy, tmp_path):
    command = [sys.executable, "-m", "speechbrain_mal.cli", "enhance", "-", "-o", "-"]
    command += ["--model", str(exported), "--quiet", "--format", "flac"]
    with open(noisy / "a.wav", "rb") as file:
        done = subprocess.run(command, stdin=file, capture_output=True)
    assert done.returncode == 0 and b"1 enhanced" in done.stderr
    (tmp_path / "piped.flac").write_bytes(done.stdout)
    assert soundfile.info(tmp_path / "piped.flac").frames == 8005


def test_an_output_that_cannot_be_written_is_refused(exported, noisy, tmp_path, capsys):
    command = ["enhance", str(noisy / "a.wav"), "--model", str(exported), "--quiet"]
    assert cli.main([*command, "-o", str(tmp_path / "o.m4a")]) == INCOMPLETE
    assert "has the suffix '.m4a': take .wav or .flac" in capsys.readouterr().out
    assert cli.main([*command, "-o", str(tmp_path / "o"), "--format", "xyz"]) == 1
    assert "There is no format '.xyz' to write" in capsys.readouterr().err
    assert not (tmp_path / "o").exists() and not (tmp_path / "o.m4a").exists()
    for name in ("o.opus", "o.caf"):
        assert cli.main([*command, "-o", str(tmp_path / name)]) == 0
        assert soundfile.info(tmp_path / name).duration == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_command_goes_on_where_it_was(exported, enhancer, tmp_path, jobs):
    folder, out = tmp_path / "many", tmp_path / "out"
    folder.mkdir()
    samples = 0.1 * np.random.default_rng(0).standard_normal(16000 * 5)
    for i in range(12):
        soundfile.write(folder / f"{i:02}.wav", samples, 16000, subtype="PCM_16")
    command = [sys.executable, "-m", "speechbrain_mal.cli", "enhance", str(folder)]
    command += ["-o", str(out), "--model", str(exported), "--jobs", str(jobs)]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while running.poll() is None and len(list(out.glob("*.wav"))) < 3:
        time.sleep(0.01)
    running.kill()
    running.wait()
    time.sleep(2 * (jobs - 1))  # workers of a killed parent end within half a second
    times = {path: path.stat().st_mtime_ns for path in out.glob("*.wav")}
    assert 3 <= len(times) < 12
    for path in times:  # whole, whenever the kill came
        assert soundfile.info(path).frames == 80000
    report = enhancer.enhance_folder(folder, out, progressbar=False)
    # A file that was written and not yet in the record when the kill came is redone.
    redone = [path for path in times if path.stat().st_mtime_ns != times[path]]
    assert len(redone) <= jobs and len(report.enhanced) == 12 - len(times) + len(redone)
    assert len(list(out.glob("*.wav"))) == 12 and not list(out.glob(".*.partial"))
    assert set(json.loads((out / "enhance.json").read_text())) == {"enhancer"}
