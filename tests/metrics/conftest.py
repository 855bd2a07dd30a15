"""Clips for the metrics: the repository's samples, and real speech where it is."""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
from conftest import ROOT, SAMPLES

MAKE_MINIBANK = ROOT.parent / "shared" / "tools" / "make_minibank.py"
N_PAIRS = 3  # for the metrics that compare
SECONDS = 4  # of each of those at most


class Pair(NamedTuple):
    clean: np.ndarray
    noisy: np.ndarray


def read_pairs(folder) -> dict[str, Pair]:
    """Return a corpus' test clips by name, at 16 kHz."""
    return {
        path.stem: Pair(
            *(
                soundfile.read(
                    folder / f"{kind}_testset_wav_16k" / path.name, dtype="float32"
                )[0]
                for kind in ("clean", "noisy")
            )
        )
        for path in sorted((folder / "clean_testset_wav_16k").iterdir())
    }


@pytest.fixture(scope="session")
def minibank_by_name(tmp_path_factory) -> dict[str, Pair]:
    """Return eight test clips of real speech in noise, 2.5 to 17.5 dB, by name."""
    if not MAKE_MINIBANK.exists():
        pytest.skip("real speech is not here: no ../shared/tools/make_minibank.py")
    folder = tmp_path_factory.mktemp("minibank")
    command = [sys.executable, MAKE_MINIBANK, folder, "--max-train=0", "--max-test=8"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return read_pairs(folder)


@pytest.fixture(scope="session")
def minibank(minibank_by_name) -> list[Pair]:
    """Return them as a list."""
    return [*minibank_by_name.values()]


@pytest.fixture(scope="session")
def samples() -> list[Pair]:
    """Return the test clips of the sample corpus: synthetic speech."""
    return [*read_pairs(SAMPLES).values()]


def beginnings(pairs: dict[str, Pair]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return `(noisy, clean)` of the first pairs, in double precision, by name."""
    return {
        name: tuple(
            clip[: 16000 * SECONDS].astype(np.float64)
            for clip in (pair.noisy, pair.clean)
        )
        for name, pair in [*pairs.items()][:N_PAIRS]
    }


@pytest.fixture(scope="session")
def sample_pairs():
    """Return the beginnings of three pairs of the sample corpus."""
    return beginnings(read_pairs(SAMPLES))


@pytest.fixture(scope="session")
def minibank_pairs(minibank_by_name):
    """Return those of real speech."""
    return beginnings(minibank_by_name)


@pytest.fixture(scope="session", params=["samples", "minibank"])
def pairs(request):
    """Return those of one corpus, then those of the other."""
    if request.param == "samples":
        return request.getfixturevalue("sample_pairs")
    return request.getfixturevalue("minibank_pairs")


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
