"""Packaging of speechbrain-mal."""

import re
from pathlib import Path

from setuptools import find_packages, setup

root = Path(__file__).parent
version = re.search(
    r'^__version__ = "(.+)"$', (root / "speechbrain_mal/__init__.py").read_text(), re.M
).group(1)

setup(
    name="speechbrain-mal",
    version=version,
    description="Model as Loss for SpeechBrain: the enhancement model's own encoder "
    "as its training objective",
    long_description=(root / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[
        *find_packages(include=["speechbrain_mal", "speechbrain_mal.*"]),
        "speechbrain_mal.pretrained",  # inference/shipped.py finds it
    ],
    package_dir={"speechbrain_mal.pretrained": "pretrained"},
    package_data={
        "speechbrain_mal": ["py.typed"],
        "speechbrain_mal.analysis": ["*.html"],
        "speechbrain_mal.pretrained": ["*/*"],
    },
    entry_points={"console_scripts": ["speechbrain-mal=speechbrain_mal.cli:main"]},
    install_requires=[
        "speechbrain>=1.1.2,<1.2",
        # torchaudio 2.11.1 is for torch 2.12 and later. It says 2.11, and fails to be
        # imported there (a symbol of 2.12 is missing): that takes torchaudio 2.11.0.
        "torch>=2.6",
        "torchaudio>=2.6",
        "huggingface_hub>=1.30",  # says when a cached snapshot is not complete
        "hyperpyyaml",
        "pesq",
        "pystoi",
        "safetensors",
        "sentencepiece",
        "soxr>=1.0",  # resamples files block by block
        "threadpoolctl",  # scores that do not depend on the number of threads
        # numpy, scipy, soundfile, joblib and tqdm come with speechbrain
    ],
    extras_require={
        "eval": [
            "matplotlib",
            "tensorboard",
            "scipy>=1.15",  # stats.bootstrap(rng=...)
            "speechmos",  # DNSMOS
            "onnxruntime",
            "librosa",
            "requests",  # torchmetrics' NISQA imports both
            "torchmetrics>=1.9,<1.10",  # NISQA takes private parts of it
            "distillmos>=0.9.1,<0.10",
        ],
        "ssl": ["transformers>=4.30"],
        "onnx": ["onnx", "onnxruntime"],
        "live": ["sounddevice"],
        "formats": ["imageio-ffmpeg"],  # an ffmpeg, where the system has none
        # cdpam names none of its requirements
        "perceptual": [
            "cdpam==0.0.6",
            "distillmos>=0.9.1,<0.10",
            "librosa",
            "resampy",
            "torch-pesq>=0.1.2,<0.2",
            "torch_stoi>=0.2.3,<0.3",
        ],
        # RESULTS.md; pandas comes with it
        "experiments": ["matplotlib", "statsmodels>=0.14"],
        "dev": [
            "filelock",
            "imageio-ffmpeg",
            "onnx",
            "pytest",
            "pytest-xdist",
            "ruff",
            "yamllint",
        ],
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
    ],
)
