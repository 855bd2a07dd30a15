"""Trained enhancers at work: batches, files of any length, live streams."""

from speechbrain_mal.inference.files import enhance_file
from speechbrain_mal.inference.folding import fold
from speechbrain_mal.inference.stream import Stream
from speechbrain_mal.inference.streaming import StreamingDeepFilterNet2, StreamState

__all__ = ["Stream", "StreamState", "StreamingDeepFilterNet2", "enhance_file", "fold"]
