"""Draw the package's layout, read from its imports, into DESIGN.md.

    python docs/layout.py           # writes the drawing
    python docs/layout.py --check   # exit status 1 where it is not what the code says

A part is a folder or a file directly below `speechbrain_mal`. An import counts wherever
it stands, within a function too. The diagram leaves out files that import no other part
(the table has them), and arrows that others imply.
"""

import argparse
import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "speechbrain_mal"
PAGE = ROOT / "DESIGN.md"
MARKERS = "<!-- layout: written by docs/layout.py -->\n", "<!-- end of layout -->\n"

Graph = dict[str, set[str]]


def part_of(path: Path, package: Path) -> str:
    """Return the part that a file belongs to: its folder, or its own name."""
    return path.relative_to(package).parts[0].removesuffix(".py")


def imported_names(path: Path, package: Path) -> set[str]:
    """Return the full names of what a file imports of its package."""
    folder = [package.name, *path.relative_to(package).parts[:-1]]
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) + 1 - node.level] if node.level else []
            start = ".".join([*above, *filter(None, [node.module])])
            names.update(f"{start}.{alias.name}" for alias in node.names)
    return {name for name in names if name.startswith(f"{package.name}.")}


def public_names(package: Path) -> dict[str, str]:
    """Return where each public name of the package lives (`_HOMES`)."""
    for node in ast.parse((package / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "_HOMES":
            return ast.literal_eval(node.value)
    return {}


def read_imports(package: Path = ROOT / PACKAGE) -> Graph:
    """Return which other parts each part of a package imports."""
    files = [path for path in package.rglob("*.py") if path.parent != package]
    files += [path for path in package.glob("*.py") if path.stem != "__init__"]
    graph = {part_of(path, package): set() for path in files}
    homes = public_names(package)
    for path in files:
        part = part_of(path, package)
        for name in imported_names(path, package):
            target = name.split(".")[1]
            target = homes.get(target, target).split(".")[0]
            if target in graph and target != part:
                graph[part].add(target)
    return graph


def reachable(graph: Graph, part: str) -> set[str]:
    """Return all that a part imports, by way of others too."""
    found, waiting = set(), [part]
    while waiting:
        for target in graph[waiting.pop()] - found:
            found.add(target)
            waiting.append(target)
    return found


def circles(graph: Graph) -> list[str]:
    """Return the parts that import themselves by way of others."""
    return sorted(part for part in graph if part in reachable(graph, part))


def without_shortcuts(graph: Graph) -> Graph:
    """Leave out imports that others of the same part imply; no circles, please."""
    return {
        part: {
            target
            for target in targets
            if not any(target in reachable(graph, via) for via in targets - {target})
        }
        for part, targets in graph.items()
    }


def depth(graph: Graph, part: str) -> int:
    """Return the length of the longest way down from a part."""
    return 1 + max((depth(graph, target) for target in graph[part]), default=-1)


def purpose(part: str, package: Path = ROOT / PACKAGE) -> str:
    """Return the first paragraph of a part's docstring, in one line."""
    path = package / part / "__init__.py"
    path = path if path.exists() else package / f"{part}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return re.sub(r"\s+", " ", text.split("\n\n")[0]).replace("|", r"\|")


def draw(graph: Graph) -> str:
    """Return the layout as Markdown: a diagram, and a table of the parts."""
    drawn = {p for p in graph if graph[p] or (ROOT / PACKAGE / p).is_dir()}
    arrows = sorted(
        f"    {part} --> {target}\n"
        for part, targets in without_shortcuts(graph).items()
        for target in targets & drawn
    )
    arrows += [f"    {p}\n" for p in sorted(drawn) if p not in " ".join(arrows).split()]
    order = sorted(graph, key=lambda part: (-depth(graph, part), part))
    rows = [
        f"| `{part}` | {purpose(part)} | {', '.join(sorted(graph[part]))} |\n"
        for part in order
    ]
    return (
        f"\n```mermaid\nflowchart TD\n{''.join(arrows)}```\n\n"
        f"| part | what it is | imports |\n| --- | --- | --- |\n{''.join(rows)}\n"
    )


def with_drawing(text: str, drawing: str) -> str:
    """Return a page with the drawing between its markers."""
    before, rest = text.split(MARKERS[0])
    return before + MARKERS[0] + drawing + MARKERS[1] + rest.split(MARKERS[1])[1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    old = PAGE.read_text(encoding="utf-8")
    new = with_drawing(old, draw(read_imports()))
    if options.check:
        sys.exit(None if new == old else "DESIGN.md: run `python docs/layout.py`")
    PAGE.write_text(new, encoding="utf-8")
