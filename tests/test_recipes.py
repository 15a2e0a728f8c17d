"""Every recipe in the repository is found, read, and taken for two real steps on its quick settings."""

import math
import tomllib
from pathlib import Path

import jsonschema
import pytest
import torch

from ganzoo import recipe as recipes
from ganzoo import scaffold
from ganzoo.clock import Clock
from ganzoo.data.dataset import open_dataset
from ganzoo.data.loader import batches
from ganzoo.loop import Engine, Means
from ganzoo.runtime import Runtime

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))


def test_there_are_recipes():
    assert len(RECIPES) >= 4


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_says_how_to_run_it(path):
    first_lines = path.read_text(encoding="utf-8").split("\nmodel")[0]
    assert f"ganzoo run recipes/{path.name}" in first_lines
    recipes.read(path)


@pytest.fixture(scope="module")
def schema():
    """What `ganzoo schema` gives to editors."""
    found = scaffold.schema()
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_fits_the_json_schema(path, schema):
    written = tomllib.loads(path.read_text(encoding="utf-8"))
    resolved = tomllib.loads(recipes.read(path, quick=True).to_toml())
    schema.validate(written)
    schema.validate(resolved)
    for table, key, value in (("options", "ltr", 1.0), ("train", "images", "many"), ("data", "size", -3)):
        with pytest.raises(jsonschema.ValidationError):
            schema.validate(resolved | {table: resolved[table] | {key: value}})


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_quick_recipe_trains(path, images):
    here = ["train.device=cpu", "train.precision=32", f"data.root={images}"]
    recipe = recipes.read(path, quick=True, changes=here)
    dataset = open_dataset(recipe.data, recipe.data_kind)
    torch.manual_seed(0)
    trainer = recipe.trainer(recipe.options, dataset.spec)
    runtime = Runtime(recipe.train, recipe.data.batch)
    engine = Engine(trainer, recipe.train, runtime, Clock(0, recipe.data.batch))
    samples = dataset.for_model(trainer).training_samples(0)
    means = Means()
    for tick in map(engine.step, batches(samples, engine.clock, 2 * recipe.data.batch)):
        means.add(tick)
    terms = [value for values in means.read(runtime, engine.clock.images).values() for value in values.values()]
    assert engine.clock.step == 2
    assert terms and all(math.isfinite(value) for value in terms)
