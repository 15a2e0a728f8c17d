"""The docs as a site: it builds without a warning, shows the whole public API, and needs nothing from elsewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import ganzoo_testing
import pytest

import ganzoo
from ganzoo import hooks

ROOT = Path(__file__).parents[1]
PARTS = ("mkdocs.yml", "README.md", "CHANGELOG.md", "docs", "ganzoo", "plugins")


def build(source, target):
    """What mkdocs writes, its answer, and what it says."""
    command = (sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", target)
    done = subprocess.run(
        command, cwd=source, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    target = tmp_path_factory.mktemp("site")
    code, words = build(ROOT, target)
    assert code == 0, words
    return target


def test_every_page_and_picture_is_there(site):
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).exists()
    for image in re.findall(r'<img[^>]* src="([^"]+)"', (site / "results.html").read_text()):
        assert (site / image).stat().st_size > 0
    home = (site / "index.html").read_text()
    assert (
        'src="images/quick.webp"' in home
        and 'href="plugins.html"' in home
        and "docs/" not in re.findall(r'href="([^"]*)"', home)
    )
    assert not list(site.rglob("*.py"))


def test_the_reference_lists_the_public_api(site):
    pages = "".join(page.read_text() for page in (site / "reference").glob("*.html"))
    shown = set(re.findall(r'id="ganzoo\.([^"]+)"', pages))
    assert shown.issuperset(ganzoo.__all__)
    assert shown.issuperset(f"hooks.{name}" for name in vars(hooks) if name.startswith("register_"))
    assert all(f'id="ganzoo_testing.{name}"' in pages for name in ganzoo_testing.__all__)
    assert {"Trainer.phases", "Phase.when", "DataSpec.size", "Translator.translate", "Loss.penalty"} <= shown
    assert "(batch, channels, height, width) in [-1, 1] of domain" in re.sub(r"<[^>]+>", "", pages)


def test_what_new_plugins_import_is_in_the_reference(site):
    pages = "".join(page.read_text() for page in (site / "reference").glob("*.html"))
    for template in (ROOT / "ganzoo" / "template").glob("*.py.j2"):
        for module, names in re.findall(r"^from (ganzoo[\w.]*) import (.+)", template.read_text(), flags=re.MULTILINE):
            for name in names.split(", "):
                assert f'id="{module}.{name}"' in pages, f"{template.name} imports {module}.{name}"


def test_nothing_comes_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|iframe)[^>]* src="([^"]+)"|<link[^>]* href="([^"]+)"', page.read_text())
        assert not [a or b for a, b in loaded if re.match(r"(https?:)?//", a or b)], page


SPOILED = {
    "dead link": ("docs/data.md", "# Data\n", "# Data\n\n[gone](nowhere.md)\n", "a link 'nowhere.md'"),
    "dead link of the README": (
        "README.md",
        "(docs/data.md)",
        "(docs/dato.md)",
        "'index.md' contains a link 'dato.md'",
    ),
    "dead anchor": ("docs/recipes.md", "# Recipes\n", "# Recipes\n\n[gone](data.md#nothing)\n", "an anchor '#nothing'"),
    "page outside the menu": ("mkdocs.yml", "      - Command line: cli.md\n", "", "- cli.md"),
    "name on no page": (
        "docs/reference/model.md",
        '<a id="ganzoo.ImagePool"></a>',
        "",
        "ganzoo.ImagePool is public and on no page",
    ),
    "hook without a docstring": (
        "ganzoo/hooks.py",
        '    """Data sources: ',
        '    pass\n    """',
        "ganzoo.hooks.register_sources is public and has no docstring",
    ),
    "method without a docstring": (
        "ganzoo/trainer.py",
        '        """The updates of one step',
        '        pass\n        """',
        "ganzoo.Trainer.phases is public and has no docstring",
    ),
    "attribute without a docstring": (
        "ganzoo/trainer.py",
        '    """side of the training images, pixels"""\n',
        "",
        "ganzoo.DataSpec.size is public and has no docstring",
    ),
    "new public name": (
        "ganzoo/__init__.py",
        "_NAMES = {\n",
        '_NAMES = {\n    "ganzoo.clock": "Clock",\n',
        "ganzoo.Clock is public and on no page",
    ),
}


@pytest.mark.parametrize(
    "ways", [["dead link"], ["attribute without a docstring"], list(SPOILED)], ids=("1", "2", "all")
)
def test_the_build_refuses_a_spoiled_copy(tmp_path, ways):
    """Each way to spoil it is a warning, and one warning is enough."""
    for part in ("mkdocs.yml", "README.md", "CHANGELOG.md"):
        shutil.copy(ROOT / part, tmp_path)
    for part in ("docs", "ganzoo", "plugins"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for file, old, new, _ in (SPOILED[way] for way in ways):
        text = (tmp_path / file).read_text(encoding="utf-8")
        assert old in text, file
        (tmp_path / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    code, said = build(tmp_path, tmp_path / "site")
    assert code != 0 and "in strict mode" in said
    for way in ways:
        assert SPOILED[way][-1] in said, f"{way}: {said}"
