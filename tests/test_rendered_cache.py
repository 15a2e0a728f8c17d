"""Rendered images in files: the second run renders none, until the code that renders them changes."""

import pytest

PLUGIN = """
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ganzoo import ImageRef, Source, hookimpl


@dataclass(frozen=True)
class Shade(ImageRef):
    grey: int
    rendered = True

    def open(self):
        with open("rendered.txt", "a") as log:
            log.write(f"{self.path}\\n")
        return Image.new("RGB", (12, 12), (self.grey, BLUE, BLUE))


BLUE = 0


class Shades(Source):
    domains = ("dark", "bright")

    def __init__(self, options, kind):
        pass

    def images(self, split, domain):
        first = 200 if domain == "bright" else 0
        return [Shade(Path(f"{split} {domain} {i}"), first + i) for i in range(6)]


@hookimpl
def register_sources(register):
    register("shades", "shades:Shades")
"""


@pytest.fixture
def place(tmp_path, recipe):
    (tmp_path / "shades.py").write_text(PLUGIN)
    recipe(tmp_path, {"data.source": "shades", "data.root": None, "train.images": 24})
    return tmp_path


def test_a_second_run_renders_nothing_until_the_code_changes(place, ganzoo):
    def run(out, *more):
        (place / "rendered.txt").write_text("")
        env = {"GANZOO_CACHE": str(place / "cache")}
        done = ganzoo("--plugin", "shades.py", "run", "tiny.toml", "--out", out, *more, cwd=place, env=env)
        rendered = [line for line in (place / "rendered.txt").read_text().splitlines() if line.startswith("train")]
        assert len(rendered) == len(set(rendered)), "each at most once"
        return len(rendered), (done.stdout + done.stderr).count("Images are kept as they are rendered in")

    assert run("first") == (12, 1)
    assert run("second") == (0, 1)
    assert run("memory", "--set", "data.cache=memory") == (12, 0)
    code = (place / "shades.py").read_text()
    (place / "shades.py").write_text(code.replace("BLUE = 0", "BLUE = 9"))
    assert run("changed") == (12, 1)
    assert run("again", "--set", "data.workers=1") == (0, 1)
