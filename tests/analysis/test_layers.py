"""Evaluation starts without torch; what it imports of ours is in test_layout.py."""

import subprocess
import sys

CODE = """
import sys
from speechbrain_mal.cli import compare, evaluate
import speechbrain_mal.analysis.report
print({"torch", "speechbrain", "matplotlib"} & set(sys.modules))
"""


def test_what_evaluation_imports():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
