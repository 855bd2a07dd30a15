"""Real speech for the tests of metrics, where there is a corpus of it."""

import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
from conftest import ROOT, SAMPLES

MAKE_MINIBANK = ROOT.parent / "shared" / "tools" / "make_minibank.py"


class Pair(NamedTuple):
    clean: np.ndarray
    noisy: np.ndarray


def read_pairs(clean_folder) -> list[Pair]:
    """Return a folder's clips with the noisy ones of the same name, at 16 kHz."""
    noisy_folder = clean_folder.with_name(clean_folder.name.replace("clean", "noisy"))
    return [
        Pair(*(soundfile.read(f / path.name, dtype="float32")[0] for f in folders))
        for folders in [(clean_folder, noisy_folder)]
        for path in sorted(clean_folder.iterdir())
    ]


@pytest.fixture(scope="session")
def samples() -> list[Pair]:
    """Return the test clips of the sample corpus: synthetic speech."""
    return read_pairs(SAMPLES / "clean_testset_wav_16k")


@pytest.fixture(scope="session")
def minibank(tmp_path_factory) -> list[Pair]:
    """Return eight test clips of real speech in noise, 2.5 to 17.5 dB."""
    if not MAKE_MINIBANK.exists():
        pytest.skip("real speech is not here: no ../shared/tools/make_minibank.py")
    folder = tmp_path_factory.mktemp("minibank")
    command = [sys.executable, MAKE_MINIBANK, folder, "--max-train=0", "--max-test=8"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return read_pairs(folder / "clean_testset_wav_16k")
