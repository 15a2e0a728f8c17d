"""The leaderboard with a stranger's model in it: tiny, but trained, measured and written as the real one."""

import importlib.util
import json
import math
import re
import statistics
import tomllib
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganzoo import classifier
from ganzoo.errors import GanzooError
from ganzoo.scaffold import write_plugin
from ganzoo.translate import load

DOCS = Path(__file__).parents[1] / "docs"
PLAN = """
recipes = "entries"
seeds = 2

[all]
data.size = 16
train.images = 4
train.sample_every = 4
train.checkpoint_every = 4
train.metrics = ["l1"]

[data.landscapes]
source = "landscapes"

[data.photographs]
source = "folders"
domains = ["day", "night"]
"""


def read(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def leaderboard():
    return read("leaderboard")


@pytest.fixture(scope="module")
def board(tmp_path_factory, leaderboard, images, recipe, plugin, known):
    """`board(*arguments)` runs it in a folder with one entry, and with a model that `ganzoo new plugin` has written."""
    folder = tmp_path_factory.mktemp("leaderboard")
    (folder / "entries").mkdir()
    recipe(folder / "entries", {"train": {"device": "cpu"}})
    (folder / "plan.toml").write_text(PLAN)
    written = {path.stem: path for path in write_plugin("sketchy", "unpaired", folder / "new")}
    site = folder / "site"
    package = [path for path in written.values() if path.parent.name == "ganzoo_sketchy"]
    plugin(site, "sketchy", {path.stem: path.read_text() for path in package if path.suffix == ".py"})
    known(site)
    parts = (
        'generator = { name = "unet", width = 4, depth = 3 }',
        'discriminator = { name = "patch", width = 4, layers = 1 }',
    )
    (folder / "mine.toml").write_text("\n".join(['model = "sketchy"', "[options]", *parts]))

    def run(*arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(classifier, "STEPS", 10)  # nothing here hangs on how good it is
            patch.setattr(classifier, "IMAGES", 40)
            common = ("--plan", "plan.toml", "--out", "runs", "--page", "page.md")
            leaderboard.main([*common, *map(str, arguments)], standalone_mode=False)
        return folder

    return run


@pytest.fixture(scope="module")
def written(board, images):
    return board("--photographs", images, "--recipe", "mine.toml")


def test_every_entry_and_seed_takes_part_in_both(written):
    page = (written / "page.md").read_text()
    assert "8 runs, each of 4 images of each domain at 16 px" in page
    for heading in ("photo to painting", "painting to photo", "day to night", "night to day"):
        part = page.partition(f"**{heading}**")[2].partition("![")[0].partition("**day")[0]
        for name in ("tiny", "mine"):
            assert re.search(rf"^\| {name} \| 2 \| ", part, re.MULTILINE), heading
    for name in re.findall(r"\((images/leaderboard/[^)]+)\)", page):
        assert Image.open(written / name).format == "WEBP"
    assert len(re.findall(r"!\[", page)) == 4


def test_numbers_of_the_page_are_those_of_the_runs(written):
    page = (written / "page.md").read_text().partition("**photo to painting**")[2]
    header = [cell.strip() for cell in page.splitlines()[2].split("|")]
    means = {}
    for name in ("tiny", "mine"):
        files = [written / "runs" / "landscapes" / name / f"seed-{seed}" / "metrics.json" for seed in range(2)]
        values = [json.loads(file.read_text())["photo->painting"]["l1"] for file in files]
        cells = [cell.strip() for cell in re.search(rf"^\| {name} .*", page, re.MULTILINE)[0].split("|")]
        means[name] = statistics.mean(values)
        expected = f"{means[name]:.3f} ± {math.dist(values, [means[name]] * 2):.3f}"
        assert cells[header.index("L1")].strip("*") == expected
    best = min(means, key=means.get)
    assert re.search(rf"^\| {best} \| 2 \| \*\*{means[best]:.3f}", page, re.MULTILINE)


def test_it_goes_on_where_it_was(written, board, images):
    before = {path: path.stat().st_mtime_ns for path in written.glob("runs/*/*/*/status.json")}
    page = (written / "page.md").read_text()
    (written / "page.md").write_text(f"# Mine\n\nWords of my own.\n{page}")
    board("--photographs", images, "--recipe", "mine.toml")
    assert len(before) == 8 and all(path.stat().st_mtime_ns == changed for path, changed in before.items())
    assert (written / "page.md").read_text() == f"# Mine\n\nWords of my own.\n{page}"


def test_what_does_not_fit_is_refused(written, board, leaderboard, images, recipe, tmp_path):
    recipe(tmp_path, {"model": "pix2pix", "options": {}, "data.root": None}, "pairs.toml")
    with pytest.raises(GanzooError, match=r'pairs.toml: its model learns from data of kind "paired"'):
        board("--recipe", tmp_path / "pairs.toml", "--dry-run")
    (tmp_path / "plan.toml").write_text(
        PLAN.replace("images = 4", "images = 6").replace("entries", str(written / "entries"))
    )
    with pytest.raises(GanzooError, match="holds runs of tiny with other settings: give another --out"):
        board("--plan", tmp_path / "plan.toml")
    (tmp_path / "page.md").write_text("# Mine\n")
    with pytest.raises(GanzooError, match=r"has no \"<!-- generated: models -->\""):
        board("--no-training", "--page", tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == "# Mine\n"


def test_parameters_that_a_translation_uses(written):
    folder = written / "runs" / "landscapes" / "tiny" / "seed-0"
    measured, trainer = json.loads(folder.with_name("seed-0.json").read_text()), load(folder, "cpu").trainer
    assert measured["used"] == sum(p.numel() for p in trainer.G["painting"].parameters())
    assert measured["parameters"] == sum(p.numel() for p in trainer.parameters())


def test_distances(leaderboard):
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) - 0.5
    assert leaderboard.colour_distance(image + 0.2, image) == pytest.approx(0.1, abs=1e-5)
    assert leaderboard.colour_distance(image.flip(3), image) == pytest.approx(0, abs=1e-6)
    assert leaderboard.structure(0.5 * image - 0.3, image) == pytest.approx(1, abs=1e-4)
    assert leaderboard.structure(image.flip(3), image) < 0.5


def test_the_entries_of_the_repository_can_be_read(leaderboard):
    plan = tomllib.loads((DOCS / "leaderboard.toml").read_text())
    found = sorted((DOCS / plan["recipes"]).glob("*.toml"))
    assert len(found) >= 7
    sets = [f"{key}={json.dumps(value)}" for key, value in leaderboard.flat(plan["all"])]
    for job in leaderboard.sweep.plan(found, [*sets, "data.source=landscapes"], 1):
        assert leaderboard.read(job).data_kind in leaderboard.UNPAIRED
