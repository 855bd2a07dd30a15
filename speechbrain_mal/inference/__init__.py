"""Trained enhancers at work: batches, long files, folders, live streams."""

from speechbrain_mal.lazy import lazily

_HOMES = {
    "FolderReport": "folders",
    "MALEnhancement": "enhancement",
    "OnnxDeepFilterNet2": "onnx_engine",
    "Stream": "stream",
    "StreamState": "step",
    "StreamingDeepFilterNet2": "step",
    "enhance_file": "files",
    "enhance_files": "folders",
    "enhance_one": "folders",
    "export_onnx": "onnx_engine",
    "fold": "folding",
    "run_live": "live",
    "shipped_model": "shipped",
}
__all__ = sorted(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
