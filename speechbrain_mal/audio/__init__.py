"""Audio files, for every command: which there are, how they are read and written.

`find_audio` walks over a folder, `AudioFile` reads a file and checks it on the way,
`write_audio` writes one, `SeenFiles` remembers which were done. What is wrong with one
file is an `AudioError` that names it.
"""

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
