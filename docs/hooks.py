"""What the site is made of, beside docs/: pages and files from all of the repository.

Every page stands once in the repository, where a reader of the sources expects it, and
keeps its path on the site, so relative links are right in both places.
"""

import json
import re
import runpy
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
layout = runpy.run_path(str(ROOT / "docs" / "layout.py"))


def pages(nav: list) -> list[str]:
    """Return the paths of a navigation's pages."""
    found = []
    for entry in nav:
        entry = next(iter(entry.values())) if isinstance(entry, dict) else entry
        found += pages(entry) if isinstance(entry, list) else [entry]
    return found


def api_page(part: str) -> str:
    """Return the reference of a part of the package: its files, one by one."""
    folder = ROOT / layout["PACKAGE"] / part
    files = sorted(folder.glob("[!_]*.py")) or [folder.with_suffix(".py")]
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    return f"# {part}\n\n{layout['purpose'](part)}\n\n" + "".join(
        f"::: {name}\n\n" for name in names
    )


def notebook_page(path: Path) -> str:
    """Return a notebook as Markdown."""
    text = ""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            source = f"```python\n{source}\n```"
        text += f"{source}\n\n"
    return text


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the API's pages to the navigation."""
    folders = {path.name for path in (ROOT / layout["PACKAGE"]).iterdir()}
    parts = sorted(
        layout["read_imports"](), key=lambda part: (part not in folders, part)
    )
    config.nav.append({"API": [{part: f"api/{part}.md"} for part in parts]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Gather the navigation's pages, and the files that they link to."""
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    wanted = pages(config.nav)
    for name in wanted:
        if name.startswith("api/"):
            text = api_page(Path(name).stem)
        elif name == "docs/tutorial.md":
            text = notebook_page(ROOT / "docs" / "tutorial.ipynb")
        else:
            text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=text))
        for link in LINK.findall(text):
            target = (ROOT / name).parent.joinpath(link).resolve()
            path = target.relative_to(ROOT).as_posix()
            if path not in wanted and target.is_file() and path not in files.src_uris:
                files.append(File.generated(config, path, abs_src_path=str(target)))
    return files
