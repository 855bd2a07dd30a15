"""The experiment: tables, curves and pictures, and clips that get lost."""

import numpy as np
import pytest

from speechbrain_mal.analysis.passes import enhance_repeatedly, passes_to_keep
from speechbrain_mal.analysis.self_consistency import self_consistency


def test_a_clip_that_diverges_has_no_further_passes(noisy, tmp_path):
    def explodes(waveform, rate):
        return waveform * np.float32(5)  # beyond 100 at the third: 1.2 * 125

    out = tmp_path / "out"
    diverged = enhance_repeatedly(explodes, noisy, [0, 2, 5], out / "explodes")
    assert diverged == {"clip0": 3, "clip1": 3}
    assert [p.name for p in sorted((out / "explodes").iterdir())] == ["000", "002"]
    tables = self_consistency({"explodes": explodes}, noisy, noisy, 5, ["estoi"], out)
    assert tables["explodes"][5].scored("estoi") == 0
    assert "005/clip0.wav: there is no such file" in tables["explodes"][5].failures[0]


def test_curves_and_spectrograms(noisy, tmp_path):
    systems = {
        "keeps": lambda x, rate: x,
        "fades": lambda x, rate: x + np.float32(0.1) * np.roll(x, 1),
    }
    clean = dict(noisy)
    out = tmp_path / "out"
    tables = self_consistency(systems, noisy, clean, 12, ["si_sdr", "estoi"], out)
    assert list(tables["fades"]) == passes_to_keep(12)
    estoi = [t.means()["estoi"] for t in tables["fades"].values()]
    assert all(a > b for a, b in zip(estoi, estoi[1:], strict=False))
    assert tables["keeps"][12].rows["012/clip0"] == pytest.approx(
        {"si_sdr": np.inf, "estoi": 1.0}
    )
    for picture in ("passes.png", "spectrograms.png"):
        assert (out / picture).stat().st_size > 20_000
    lines = (out / "passes.csv").read_text().splitlines()
    assert lines[0] == "system,pass,clips,si_sdr,estoi"
    assert len(lines) == 1 + 2 * len(passes_to_keep(12))
    first = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    assert first["pass"] == "0" and first["clips"] == "2" and first["estoi"] == "1.0000"
