"""Clips for the metrics: the repository's samples, and real speech where it is."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ROOT, SAMPLES

MINIBANK_TOOL = ROOT.parent / "shared" / "tools" / "make_minibank.py"
N_CLIPS = 3
SECONDS = 4  # of each clip at most


@pytest.fixture(scope="session")
def sample_pairs():
    """Return `(noisy, clean)` by name, of the sample corpus' test set."""
    return read_pairs(SAMPLES)


@pytest.fixture(scope="session")
def minibank_pairs(tmp_path_factory):
    """Return `(noisy, clean)` by name, of real speech in real noise."""
    if not MINIBANK_TOOL.exists():
        pytest.skip(f"no real speech: {MINIBANK_TOOL} is missing")
    folder = tmp_path_factory.mktemp("minibank")
    limits = ["--max-train", "0", "--max-test", str(N_CLIPS)]
    subprocess.run([sys.executable, MINIBANK_TOOL, folder, *limits], check=True)
    return read_pairs(folder)


@pytest.fixture(scope="session", params=["samples", "minibank"])
def pairs(request):
    """Return the pairs of one corpus, then those of the other."""
    name = "sample_pairs" if request.param == "samples" else "minibank_pairs"
    return request.getfixturevalue(name)


def read_pairs(folder):
    pairs = {}
    for path in sorted((folder / "clean_testset_wav_16k").iterdir())[:N_CLIPS]:
        files = (folder / "noisy_testset_wav_16k" / path.name, path)
        pairs[path.stem] = tuple(soundfile.read(f, 16000 * SECONDS)[0] for f in files)
    return pairs


@pytest.fixture(scope="session")
def references():
    """Return what public programs score the noisy clips, by `clip@rate`."""
    return json.loads((Path(__file__).parent / "references.json").read_text())


@pytest.fixture(scope="session")
def at_snr():
    """Return a function that gives a pair's own noise another level."""

    def mix(noisy, clean, snr_db):
        noise = noisy - clean
        gain = np.linalg.norm(clean) / np.linalg.norm(noise) * 10 ** (-snr_db / 20)
        return clean + gain * noise

    return mix
