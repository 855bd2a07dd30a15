import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
import yaml
from conftest import ROOT, SAMPLES

from speechbrain_mal import cli
from speechbrain_mal.inference import MALEnhancement, shipped_model
from speechbrain_mal.inference.shipped import DEFAULT
from speechbrain_mal.metrics import clips_from_folders, evaluate

FOLDERS = sorted((ROOT / "pretrained").glob("*/hyperparams.yaml"))
NAMES = [path.parent.name for path in FOLDERS]
NOISY, CLEAN = SAMPLES / "noisy_testset_wav_16k", SAMPLES / "clean_testset_wav_16k"


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


def test_the_default_is_there():
    assert DEFAULT in NAMES
    assert shipped_model() == ROOT / "pretrained" / DEFAULT


def test_other_names_are_refused():
    with pytest.raises(ValueError, match=f"No enhancer 'huge' comes with .*{DEFAULT}"):
        shipped_model("huge")


def test_it_is_small_and_whole(name):
    files = {path.name: path for path in shipped_model(name).iterdir()}
    assert set(files) == {
        "README.md",
        "config.json",
        "enhancer.safetensors",
        "example_enhanced.flac",
        "example_noisy.flac",
        "hyperparams.yaml",
    }
    assert sum(path.stat().st_size for path in files.values()) < 10e6
    front = yaml.safe_load(files["README.md"].read_text().split("---")[1])
    (entry,) = front["model-index"]
    assert len(entry["results"]) >= 2  # in domain and out of it
    assert front["license"]


def test_no_audio_but_the_samples(name):
    """The example is a clip of samples/, which anybody may have."""
    example, _ = soundfile.read(shipped_model(name) / "example_noisy.flac")
    clips = [soundfile.read(path)[0] for path in sorted(NOISY.glob("*.flac"))]
    assert any(
        len(clip) >= len(example)
        and np.abs(clip[: len(example)] - example).max() < 1e-4
        for clip in clips
    )


def test_it_takes_noise_away_and_keeps_speech(name, tmp_path):
    """On synthetic speech, which it never heard the like of."""
    enhancer = MALEnhancement.from_hparams(shipped_model(name))
    enhancer.enhance_folder(NOISY, tmp_path / "noisy", progressbar=False)
    enhancer.enhance_folder(CLEAN, tmp_path / "clean", progressbar=False)
    means = {
        kind: evaluate(clips_from_folders(folder, CLEAN), ["pesq", "si_sdr"])
        for kind, folder in {
            "noisy": NOISY,
            "enhanced": tmp_path / "noisy",
            "clean": tmp_path / "clean",
        }.items()
    }
    noisy, enhanced = means["noisy"].means(), means["enhanced"].means()
    assert enhanced["pesq"] > noisy["pesq"] + 0.3
    assert enhanced["si_sdr"] > noisy["si_sdr"]
    assert min(row["pesq"] for row in means["clean"].rows.values()) > 3.8


def test_it_streams(name):
    enhancer = MALEnhancement.from_hparams(shipped_model(name))
    noisy, _ = soundfile.read(next(iter(sorted(NOISY.glob("*.flac")))), dtype="float32")
    noisy = torch.from_numpy(noisy)
    stream = enhancer.stream()
    pieces = [stream.push(piece) for piece in noisy.split(1000)]
    live = torch.cat([*pieces, stream.flush()])
    offline = enhancer.enhance_batch(noisy[None])[0]
    torch.testing.assert_close(live, offline, rtol=0, atol=1e-5)
    assert stream.latency_ms == 60


def test_the_command_line_takes_it_by_default_by_name_and_by_path(tmp_path):
    noisy = min(NOISY.glob("*.flac"))
    enhanced = []
    for model in ([], ["--model", DEFAULT], ["--model", str(shipped_model())]):
        output = tmp_path / f"{len(enhanced)}.wav"
        assert cli.main(["enhance", str(noisy), "-o", str(output), *model]) == 0
        enhanced.append(soundfile.read(output)[0])
    assert np.abs(enhanced[0]).max() > 0.01
    assert all(np.array_equal(other, enhanced[0]) for other in enhanced[1:])


def test_loading_waits_for_torch_and_little_else():
    """What takes longer to import than the enhancer does to load is not imported."""
    code = (
        "import sys; "
        "from speechbrain_mal.inference import MALEnhancement, shipped_model; "
        "MALEnhancement.from_hparams(shipped_model()); "
        "print({m.partition('.')[0] for m in sys.modules} & {'speechbrain', 'scipy', "
        "'huggingface_hub', 'yaml', 'hyperpyyaml', 'torchaudio', 'soundfile', 'soxr'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_a_wrong_name_is_told_the_right_ones(tmp_path, capsys):
    noisy = min(NOISY.glob("*.flac"))
    command = ["enhance", str(noisy), "-o", str(tmp_path / "out.wav")]
    assert cli.main([*command, "--model", "dfn3"]) != 0
    error = capsys.readouterr().err
    assert "no folder 'dfn3'" in error and all(name in error for name in NAMES)


def test_a_folder_here_comes_before_a_name(tmp_path, monkeypatch, capsys):
    (tmp_path / DEFAULT).mkdir()  # holds no enhancer
    monkeypatch.chdir(tmp_path)
    noisy = min(NOISY.glob("*.flac"))
    command = ["enhance", str(noisy), "-o", "out.wav", "--model", DEFAULT]
    assert cli.main(command) != 0
    assert DEFAULT in capsys.readouterr().err


def test_an_installation_has_it(tmp_path):
    """Built as a wheel is, nothing of the clone is needed."""
    source = tmp_path / "source"
    for name in ("speechbrain_mal", "pretrained"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "setup.py", "-q", "build", "--build-lib", "../site"]
    subprocess.run(command, cwd=source, check=True)
    script = (
        "import speechbrain_mal, speechbrain_mal.inference as i; "
        "assert 'site' in speechbrain_mal.__file__, speechbrain_mal.__file__; "
        "print(i.shipped_model())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    place = tmp_path / "site" / "speechbrain_mal" / "pretrained" / DEFAULT
    assert done.stdout.strip() == str(place)
    assert (place / "enhancer.safetensors").is_file()
