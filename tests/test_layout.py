"""The package's imports run one way, and DESIGN.md draws them as they are."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent
layout = SimpleNamespace(**runpy.run_path(ROOT / "docs" / "layout.py"))
IMPORTS = layout.read_imports()

TRAINING = {"losses", "models", "data", "kernels", "brain", "training_state"}


def test_drawing_is_what_the_code_says():
    text = layout.PAGE.read_text(encoding="utf-8")
    assert layout.with_drawing(text, layout.draw(IMPORTS)) == text, (
        "run `python docs/layout.py`"
    )


def test_imports_have_no_circle():
    assert layout.circles(IMPORTS) == []


@pytest.mark.parametrize("part", ["metrics", "analysis", "audio"])
def test_evaluation_imports_no_training(part):
    assert not layout.reachable(IMPORTS, part) & TRAINING


@pytest.mark.parametrize("part", ["losses", "models", "data", "metrics"])
def test_rooms_know_nothing_of_each_other(part):
    rooms = {"losses", "models", "data", "metrics", "inference", "cli"}
    assert not layout.reachable(IMPORTS, part) & rooms


def test_every_kind_of_import_counts(tmp_path):
    package = tmp_path / "pack"
    (package / "a").mkdir(parents=True)
    (package / "__init__.py").write_text('_HOMES = {"Late": "c"}\n')
    (package / "a" / "__init__.py").write_text("import pack.b\n")
    (package / "a" / "own.py").write_text("from .. import d\nfrom . import other\n")
    (package / "b.py").write_text("def f():\n    from pack import Late\n")
    (package / "c.py").write_text("from pack.a.own import x\n")
    (package / "d.py").write_text("import os\n")
    graph = layout.read_imports(package)
    assert graph == {"a": {"b", "d"}, "b": {"c"}, "c": {"a"}, "d": set()}
    assert layout.circles(graph) == ["a", "b", "c"]
    assert layout.reachable(graph, "b") == {"a", "b", "c", "d"}
