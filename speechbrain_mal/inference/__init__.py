"""Trained enhancers at work: those of finished runs, long files, live streams."""

from speechbrain_mal.inference.enhancement import MALEnhancement
from speechbrain_mal.inference.files import enhance_file
from speechbrain_mal.inference.folders import (
    FolderReport,
    enhance_files,
    enhance_folder,
    enhance_one,
)
from speechbrain_mal.inference.folding import fold
from speechbrain_mal.inference.onnx_export import export_onnx
from speechbrain_mal.inference.onnx_stream import OnnxDeepFilterNet2
from speechbrain_mal.inference.runs import enhancement_of, load_run
from speechbrain_mal.inference.shipped import shipped_model
from speechbrain_mal.inference.stream import Stream
from speechbrain_mal.inference.streaming import StreamingDeepFilterNet2, StreamState

__all__ = [
    "FolderReport",
    "MALEnhancement",
    "OnnxDeepFilterNet2",
    "Stream",
    "StreamState",
    "StreamingDeepFilterNet2",
    "enhance_file",
    "enhance_files",
    "enhance_folder",
    "enhance_one",
    "enhancement_of",
    "export_onnx",
    "fold",
    "load_run",
    "shipped_model",
]
