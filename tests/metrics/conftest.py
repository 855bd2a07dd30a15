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
from onnx import helper
from tiny_asr import CTC, save_asr
from tiny_onnx import save_onnx

MAKE_MINIBANK = ROOT.parent / "shared" / "tools" / "make_minibank.py"
NISQA = ROOT.parent / "shared" / "weights" / "nisqa.tar"
N_PAIRS = 3  # of each corpus
SECONDS = 4  # of each clip at most


class Pair(NamedTuple):
    noisy: np.ndarray
    clean: np.ndarray

    def at_snr(self, snr_db: float) -> np.ndarray:
        """Return the clean clip with its own noise at another level."""
        noise = self.noisy - self.clean
        gain = np.linalg.norm(self.clean) / np.linalg.norm(noise)
        return self.clean + gain * 10 ** (-snr_db / 20) * noise


def read_pairs(folder: Path) -> dict[str, Pair]:
    """Return the first of a corpus' test clips by name, at 16 kHz, in float64."""
    paths = sorted((folder / "clean_testset_wav_16k").iterdir())[:N_PAIRS]
    return {
        path.stem: Pair(
            *(
                soundfile.read(
                    folder / f"{kind}_testset_wav_16k" / path.name, SECONDS * 16000
                )[0]
                for kind in ("noisy", "clean")
            )
        )
        for path in paths
    }


@pytest.fixture(scope="session")
def sample_pairs() -> dict[str, Pair]:
    """Return pairs of the sample corpus: synthetic speech."""
    return read_pairs(SAMPLES)


@pytest.fixture(scope="session")
def minibank_pairs(tmp_path_factory) -> dict[str, Pair]:
    """Return pairs of real speech in noise."""
    if not MAKE_MINIBANK.exists():
        pytest.skip("real speech is not here: no ../shared/tools/make_minibank.py")
    folder = tmp_path_factory.mktemp("minibank")
    command = [sys.executable, MAKE_MINIBANK, folder, "--max-train=0", "--max-test=3"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return read_pairs(folder)


@pytest.fixture(scope="session", params=["sample_pairs", "minibank_pairs"])
def pairs(request) -> dict[str, Pair]:
    """Return those of one corpus, then those of the other."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def pair(pairs) -> Pair:
    """Return the first of them."""
    return next(iter(pairs.values()))


@pytest.fixture(scope="session")
def sample(sample_pairs) -> Pair:
    """Return the first pair of the sample corpus."""
    return next(iter(sample_pairs.values()))


@pytest.fixture(scope="session")
def references() -> dict[str, dict[str, float]]:
    """Return what public programs score the noisy clips, by `clip@rate`."""
    return json.loads((Path(__file__).parent / "references.json").read_text())


@pytest.fixture(scope="session")
def networks(tmp_path_factory) -> dict[str, str]:
    """Return files of networks with the inputs and outputs of those to be fetched.

    ScoreQ's is the mean magnitude, with a reference that times (3, 4); SIGMOS' the mean
    over time, times a matrix.
    """
    folder = tmp_path_factory.mktemp("networks")
    mean = [
        helper.make_node("Abs", ["waveform"], ["magnitude"]),
        helper.make_node("ReduceMean", ["magnitude"], ["mean"], axes=[1]),
        helper.make_node("MatMul", ["mean", "matrix"], ["output"]),
    ]
    sigmos = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[2], keepdims=0),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["output"]),
    ]
    wave, spectrum = {"waveform": [None, None]}, {"input": [None, 3, None, 481]}
    matrix = np.random.default_rng(0).normal(0, 0.1, (3 * 481, 7))
    parts = {
        "scoreq": (mean, wave, np.array([[1]])),
        "scoreq_ref": (mean, wave, np.array([[3, 4]])),
        "sigmos": (sigmos, spectrum, matrix),
    }
    return {
        name: str(
            save_onnx(
                folder / f"{name}.onnx",
                nodes,
                inputs,
                {"output": [None, matrix.shape[1]]},
                {"matrix": matrix.astype("float32")},
            )
        )
        for name, (nodes, inputs, matrix) in parts.items()
    }


@pytest.fixture(scope="session")
def recogniser(tmp_path_factory) -> str:
    """Return the folder of a recogniser of tones."""
    return save_asr(tmp_path_factory.mktemp("asr") / "ctc", CTC)


@pytest.fixture(scope="session")
def options(request):
    """Return a function that gives a metric's options, or skips its test."""

    def of(name: str) -> dict[str, str]:
        if name in ("scoreq", "scoreq_ref", "sigmos"):
            return {"weights": request.getfixturevalue("networks")[name]}
        if name == "wer":
            return {"source": request.getfixturevalue("recogniser")}
        if name == "nisqa":
            if not NISQA.exists():
                pytest.skip("NISQA's weights are not in ../shared/weights/nisqa.tar")
            return {"weights": str(NISQA)}
        return {}

    return of
