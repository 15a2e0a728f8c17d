"""What the site needs beside mkdocs.yml: pages from files outside docs/, and the public API, without importing it.

A public name, hook or method that is on no page of docs/reference, or has no docstring, is a warning: with --strict the
build fails.
"""

import logging
import re
from pathlib import Path
from typing import Any

from api import public_api  # beside this file
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

log = logging.getLogger("mkdocs.hooks.ganzoo")
shown: set[str] = set()  # what docs/reference documents, as the reader sees its name


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The section "Models" gets a page for each plugin."""
    shown.clear()
    models = [{name: f"models/{name}.md"} for name in _plugins(_root(config))]
    config.nav = [{"Models": [*entry["Models"], *models]} if "Models" in entry else entry for entry in config.nav]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """README.md is the home page, from its place at the root; its links lead into docs/ there, to pages here."""
    root = _root(config)
    home = re.sub(r"(\]\()docs/", r"\1", (root / "README.md").read_text(encoding="utf-8"))
    pages = {"index.md": home, "changelog.md": (root / "CHANGELOG.md").read_text(encoding="utf-8")}
    for name, folder in _plugins(root).items():
        text = (folder / "README.md").read_text(encoding="utf-8")
        pages[f"models/{name}.md"] = re.sub(r"\[ganzoo\]\(https://[^)]*\)", "[ganzoo](../index.md)", text)
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> None:
    if page.parent is None:  # alone in its section: its place in the margin is left to long lines of code
        page.meta["hide"] = ["navigation"]


def on_page_content(html: str, page: Page, **_: Any) -> None:
    if page.file.src_uri.startswith("reference/"):
        shown.update(re.findall(r'id="(ganzoo(?:_testing)?\.[^"]+)"', html))


def on_post_build(config: MkDocsConfig) -> None:
    """The promise of docs/reference: it lists the whole public API, and each name says what it is."""
    for name, thing in public_api(_root(config)):
        if not thing.has_docstring:
            log.warning("%s is public and has no docstring (%s:%s)", name, thing.relative_filepath, thing.lineno)
        if name not in shown:
            log.warning("%s is public and on no page of docs/reference", name)


def _plugins(root: Path) -> dict[str, Path]:
    """All but the testing kit, which the reference presents."""
    found = {folder.name.removeprefix("ganzoo-"): folder for folder in sorted((root / "plugins").glob("ganzoo-*"))}
    return {name: folder for name, folder in found.items() if name != "testing"}


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent
