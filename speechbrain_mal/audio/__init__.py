"""Audio files, for every command: which there are, how they are read and written."""

from speechbrain_mal.audio.reader import AudioError, AudioFile, read_audio
from speechbrain_mal.audio.seen import SeenFiles, stamp_of
from speechbrain_mal.audio.walk import Found, find_audio
from speechbrain_mal.audio.writer import OutputFormat, output_format, write_audio

__all__ = [
    "AudioError",
    "AudioFile",
    "Found",
    "OutputFormat",
    "SeenFiles",
    "find_audio",
    "output_format",
    "read_audio",
    "stamp_of",
    "write_audio",
]
