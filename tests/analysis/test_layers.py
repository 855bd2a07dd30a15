"""Evaluation needs nothing of training, and starts without torch."""

import subprocess
import sys

CODE = """
import importlib, pkgutil, sys
from speechbrain_mal.cli import compare, evaluate
import speechbrain_mal.analysis.report
print(*{"torch", "speechbrain", "matplotlib"} & set(sys.modules))
for package in (speechbrain_mal.metrics, speechbrain_mal.analysis):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
print(*{m.split(".")[1] for m in sys.modules if m.startswith("speechbrain_mal.")})
"""


def test_what_evaluation_imports():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    at_start, ours = done.stdout.splitlines()
    assert not at_start
    training = {"brain", "losses", "models", "data", "kernels", "system", "settings"}
    assert "metrics" in ours and not training & set(ours.split())
