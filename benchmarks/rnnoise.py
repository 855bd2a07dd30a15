"""Enhance a folder with RNNoise, to have something well known to compare with.

> pip install pyrnnoise
> python benchmarks/rnnoise.py noisy_testset_wav_16k rnnoise/testset

J.-M. Valin, "A Hybrid DSP/Deep Learning Approach to Real-Time Full-Band Speech
Enhancement", MMSP 2018; the library and its weights are those in the package
`pyrnnoise` (xiph/rnnoise).
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile
from pyrnnoise.rnnoise import FRAME_SIZE, create, destroy, process_frame
from tqdm.auto import tqdm

from speechbrain_mal.metrics.waveforms import resample

RATE = 48000  # Hz
DELAY = 960  # samples: where the correlation of output and input peaks


def rnnoise(noisy: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the enhanced waveform `[samples]`, aligned with the noisy one."""
    fullband = resample(noisy, sample_rate, RATE)
    whole = -len(fullband) % FRAME_SIZE + DELAY
    samples = np.clip(np.pad(fullband, (0, whole)) * 32768, -32768, 32767)
    frames = np.round(samples).astype(np.int16).reshape(-1, 1, FRAME_SIZE)
    states = [create()]
    try:
        out = [process_frame(states, frame)[0].reshape(-1) for frame in frames]
    finally:
        destroy(states[0])
    enhanced = np.concatenate(out)[DELAY:][: len(fullband)] / 32768
    return resample(enhanced, RATE, sample_rate)[: len(noisy)]


def main() -> None:
    """Enhance the files that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("noisy", type=Path, help="folder of mono WAV files")
    parser.add_argument("output", type=Path, help="folder to write to")
    args = parser.parse_args()
    files = sorted(args.noisy.glob("*.wav"))
    if not files:
        parser.error(f"{args.noisy} has no WAV files")
    args.output.mkdir(parents=True, exist_ok=True)
    for file in tqdm(files, unit="file"):
        noisy, rate = soundfile.read(file, dtype="float32")
        enhanced = rnnoise(noisy, rate)
        soundfile.write(args.output / file.name, enhanced, rate, subtype="FLOAT")


if __name__ == "__main__":
    main()
