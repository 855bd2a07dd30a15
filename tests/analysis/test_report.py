import json
import math

import numpy as np
import pytest
import soundfile

from speechbrain_mal.analysis import report


@pytest.fixture
def runs(tmp_path):
    """Write two finished runs of three clips each, as the recipe leaves them."""
    rng = np.random.default_rng(0)
    manifest = {}
    for i in range(3):
        clean = np.sin(np.arange(16000) / (5 + i))
        for kind, noise in (("noisy", 0.3), ("clean", 0)):
            path = tmp_path / f"{kind}{i}.wav"
            soundfile.write(path, 0.5 * (clean + noise * rng.normal(size=16000)), 16000)
        manifest[f"clip{i}"] = {
            f"{kind}_wav": f"{{data_root}}/{kind}{i}.wav" for kind in ("noisy", "clean")
        }
    for name, scores in (("one", "20.0 21.0 22.0"), ("two", "21.0 22.5 ")):
        run = tmp_path / name / "1234"
        (run / "enhanced_testset").mkdir(parents=True)
        (run / "test.json").write_text(json.dumps(manifest))
        rows = [f"clip{i},{s}" for i, s in enumerate(scores.split(" "))]
        (run / "scores_testset.csv").write_text("\n".join(["clip,si_sdr", *rows]))
        for i in range(3):
            soundfile.write(run / f"enhanced_testset/clip{i}.wav", clean, 16000)
    return tmp_path


def test_table_and_pictures(runs, capsys):
    folders = [str(runs / name / "1234") for name in ("one", "two")]
    options = ["--data-folder", str(runs), "--pictures", str(runs / "pictures")]
    report.main([*folders, *options, "--control", "one", "--clips", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| system | SI-SDR (dB) | Δ")
    assert lines[2].startswith("| noisy | 7.")  # 10 log10(0.5 / 0.09) = 7.4 dB
    assert lines[3] == "| one | 21.000 |  |"
    assert lines[4].startswith("| two | 21.750 (1 not scored) | +1.250 [")
    pictures = [line for line in lines if line.endswith(".png")]
    assert len(pictures) == 2
    assert all(len(open(path, "rb").read()) > 10_000 for path in pictures)


def test_difference_is_paired():
    rng = np.random.default_rng(1)
    clips = {str(i): {"pesq": x} for i, x in enumerate(rng.normal(size=50))}
    better = {i: {"pesq": s["pesq"] + 0.1} for i, s in clips.items()}
    mean, low, high = report.difference(better, clips, "pesq")
    assert (
        math.isclose(mean, 0.1) and math.isclose(low, 0.1) and math.isclose(high, 0.1)
    )


def test_untested_run_is_named(runs):
    with pytest.raises(FileNotFoundError, match="scores_testset.csv does not exist"):
        report.read_scores(runs / "three" / "scores_testset.csv")
