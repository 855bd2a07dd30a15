"""Write `references.json`: what public programs make of the tests' noisy clips.

They need packages this project does without, and so a venv of their own, and two
repositories at the commits below::

    python3 -m venv public
    public/bin/pip install "numpy<2" scipy numba librosa soundfile pesq==0.0.4 \\
        pystoi pysptk==1.0.1 fastdtw==0.3.4
    git clone https://github.com/schmiph2/pysepm              # 7ef88af
    git clone https://github.com/urgent-challenge/urgent2025_challenge  # daf1730
    public/bin/python tests/metrics/make_references.py pysepm \\
        urgent2025_challenge/evaluation_metrics MINIBANK

`MINIBANK` is the folder of real speech that `conftest.py` makes. pysepm gives LLR, WSS,
segmental SNR and the composite measures, the URGENT Challenge's script LSD and MCD.
"""

import json
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import soundfile
from scipy.signal import resample_poly

HERE = Path(__file__).parent
SAMPLES = HERE.parents[1] / "samples" / "voicebank"
N_CLIPS, SECONDS, RATE = 3, 4, 16000  # as in conftest.py
OTHER_RATES = (8000, 24000, 48000)  # of the first clip of each corpus


def import_programs(pysepm_folder: str, urgent_folder: str):
    """Import both without what they import and these scores do not need."""
    unused = ["srmrpy", "fast_bss_eval", "soxr", "tqdm", "tqdm.contrib"]
    unused.append("tqdm.contrib.concurrent")
    sys.path += [pysepm_folder, urgent_folder]
    sys.modules.update({name: mock.MagicMock() for name in unused})
    import calculate_intrusive_se_metrics as urgent
    import pysepm

    return pysepm, urgent


def scores(pysepm, urgent, noisy: np.ndarray, clean: np.ndarray, rate: int) -> dict:
    """Return every reference of one pair."""
    values = {
        "lsd": urgent.lsd_metric(clean, noisy, rate),
        "mcd": urgent.mcd_metric(clean, noisy, rate),
    }
    if rate == RATE:
        csig, cbak, covl = pysepm.composite(clean, noisy, rate)
        values |= {
            "llr": pysepm.llr(clean, noisy, rate, used_for_composite=True),
            "wss": pysepm.wss(clean, noisy, rate),
            "segmental_snr": pysepm.SNRseg(clean, noisy, rate),
            "csig": csig,
            "cbak": cbak,
            "covl": covl,
        }
    return {name: float(value) for name, value in values.items()}


def main(pysepm_folder: str, urgent_folder: str, minibank: str) -> None:
    """Score the clips and write them."""
    programs = import_programs(pysepm_folder, urgent_folder)
    references = {}
    for folder in (SAMPLES, Path(minibank)):
        paths = sorted((folder / "clean_testset_wav_16k").iterdir())[:N_CLIPS]
        for path in paths:
            files = (folder / "noisy_testset_wav_16k" / path.name, path)
            pair = [soundfile.read(file, RATE * SECONDS)[0] for file in files]
            for rate in (RATE, *OTHER_RATES) if path == paths[0] else (RATE,):
                clips = [resample_poly(x, rate, RATE) for x in pair]
                references[f"{path.stem}@{rate}"] = scores(*programs, *clips, rate)
    text = json.dumps(references, indent=1) + "\n"
    (HERE / "references.json").write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
