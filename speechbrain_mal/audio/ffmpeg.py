"""What libsndfile can't read is decoded by ffmpeg, where it is installed."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

from speechbrain_mal.files import printable

FFMPEG_SUFFIXES = frozenset(
    ".m4a .m4b .mp4 .mov .3gp .aac .ac3 .eac3 .wma .asf .webm .mkv .mka .amr .mp2 .ape"
    " .wv .tta .spx .avi .flv .ts .dts .mpc".split()
)
# A list of songs or a playlist could name other files and addresses: none of them.
_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,aac,ac3,eac3,asf,matroska,webm,amr,mp3,ape,wv,tta,ogg,avi,"
    "flv,mpegts,dts,mpc,mpc8,flac,wav,caf,aiff,au,w64,voc"
)


@functools.cache
def find_ffmpeg() -> str | None:
    """Return the ffmpeg of the PATH, or that of the package imageio-ffmpeg."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return get_ffmpeg_exe()
    except (ImportError, RuntimeError):  # it has none for this machine
        return None


def decode(path: Path, output: Path) -> None:
    """Decode a file's first audio track into a `.w64` of floats; ValueError if cut."""
    command = [find_ffmpeg(), "-nostdin", "-v", "error", "-xerror"]
    command += ["-protocol_whitelist", "file,pipe", "-format_whitelist", _DEMUXERS]
    # "file:" keeps a name such as "concat:a|b" from being an order.
    command += ["-i", b"file:" + os.fsencode(path), "-map", "0:a:0", "-vn"]
    command += ["-c:a", "pcm_f32le", "-f", "w64", os.fsencode(output)]
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        reason = printable(lines[0].split("] ")[-1]) if lines else "no reason given"
        reason = reason.partition(" '" + _DEMUXERS)[0]
        raise ValueError(f"ffmpeg: {reason}")
