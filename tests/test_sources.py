"""Data sources: their own options in a recipe, wherever they are set, and published archives under the same key."""

import pickle
import tomllib

import pytest

from ganzoo import GanzooError, Offline, recipe
from ganzoo.data.dataset import open_dataset
from ganzoo.options import DataOptions

REGISTER = """
from ganzoo import hookimpl


@hookimpl
def register_sources(register):
    register("plain-colours", "ganzoo_colours.source:Colours", data_kinds="unpaired domains")
    register("remote", "ganzoo_colours.source:Remote", data_kinds="unpaired")
    register("nowhere", "ganzoo_colours.nowhere:Nowhere", data_kinds="unpaired")
"""
SOURCE = '''
from pathlib import Path
from typing import Annotated

import PIL.Image
from pydantic import Field

from ganzoo import ImageRef, Offline, Source


class Colour(ImageRef):
    def open(self):
        return PIL.Image.new("RGB", (20, 20), self.path.stem)


class Colours(Source):
    """Images of one colour."""

    kinds = ("unpaired", "domains")
    domains = ("warm", "cold")

    def __init__(
        self,
        options,
        kind,
        *,
        warm: Annotated[tuple[str, ...], Field(min_length=1, description="names of warm colours")],
        count: Annotated[int, Field(ge=1, description="images of each colour")] = 1,
    ):
        self.colours, self.count = {"warm": warm, "cold": ("blue", "navy")}, count

    def images(self, split, domain):
        return [Colour(Path(f"{colour}.png")) for colour in self.colours[domain]] * self.count
'''
SOURCE += """

class Remote(Source):
    def __init__(self, options, kind, *, repo: str):
        raise Offline(f"Cannot reach {repo}.")

    def images(self, split, domain):
        return []
"""
RECIPE = {"model": "cyclegan", "train": {"images": 4}}


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory, plugin, known):
    site = tmp_path_factory.mktemp("site")
    plugin(site, "colours", {"__init__": REGISTER, "source": SOURCE, "nowhere": "import no_such_library\n"})
    known(site)


def read(source, *changes, **data):
    return recipe.parse(RECIPE | {"data": {"source": source, "size": 16} | data}, changes=changes).data


def test_own_options_reach_the_source():
    options = read({"name": "plain-colours", "warm": ["red", "gold"]})
    opened = open_dataset(options, "unpaired")
    assert opened.source.colours["warm"] == ("red", "gold") and opened.source.count == 1
    again = pickle.loads(pickle.dumps(opened))
    assert again.options == options and len(again.test_images()["warm"]) == 2


def test_own_options_can_be_set_from_the_command_line():
    changes = ("data.source.count=3", 'data.source.warm=["red"]')
    for source in ("plain-colours", {"name": "plain-colours", "warm": ["gold"]}):
        opened = open_dataset(read(source, *changes), "unpaired")
        assert opened.source.colours["warm"] == ("red",) and opened.source.count == 3


def test_they_are_written_into_the_resolved_recipe():
    given = {"name": "plain-colours", "warm": ["red"]}
    made = recipe.parse(RECIPE | {"data": {"source": "folders", "fallback": given}})
    assert made.tables()["data"]["source"] == "folders" and made.tables()["data"]["fallback"] == given
    assert recipe.parse(tomllib.loads(made.to_toml())).data == made.data


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("plain-colours", 'data.source: the source "plain-colours": warm: is missing; the recipe must say it'),
        ({"name": "plain-colours", "wam": []}, r'no option "wam"\. Did you mean "warm"\? It has: warm, count'),
        ({"name": "plain-colours", "warm": ["red"], "count": 0}, "count: input should be greater than or equal to 1"),
        ({"name": "plain-colours", "warm": []}, "warm: tuple should have at least 1 item"),
        ({"name": "folders", "path": "x"}, r'the source "folders" has no option "path"\. It has: none'),
        ({"warm": ["red"]}, "data.source: write the name of a source"),
    ],
)
def test_mistakes_are_told_when_the_recipe_is_read(source, words):
    for key in ("source", "fallback"):
        with pytest.raises(GanzooError, match=words.replace("data.source", f"data.{key}")):
            recipe.parse(RECIPE | {"data": {"source": "landscapes", key: source}})


def test_mistakes_on_the_command_line_say_so():
    with pytest.raises(GanzooError, match=r'--set data\.source: the source "plain-colours" has no option "cuont"'):
        read({"name": "plain-colours", "warm": ["red"]}, "data.source.cuont=2")
    with pytest.raises(GanzooError, match=r"--set data\.load\.most: there is no such key\. Write TABLE\.KEY, or"):
        read("landscapes", "data.load.most=2")


def test_a_source_that_is_not_here_is_told_when_it_is_opened():
    """A trained model is used without its data, so its recipe must be readable."""
    with pytest.raises(GanzooError, match=r'no data source "landscape"\. Did you mean "landscapes"'):
        open_dataset(read({"name": "landscape", "count": 3}), "unpaired")
    with pytest.raises(GanzooError, match=r'"nowhere" of ganzoo-colours 0\.5 does not load.*no_such_library'):
        open_dataset(read("nowhere"), "unpaired")


def test_a_source_that_cannot_be_reached_has_a_fallback_with_options():
    said, fallback = [], {"name": "plain-colours", "warm": ["red"]}
    options = read({"name": "remote", "repo": "here"}, fallback=fallback, domains=["a", "b"])
    found = open_dataset(options, "unpaired", say=said.append)
    assert said == ['NOT the data you asked for: "plain-colours" instead of "remote". Cannot reach here.']
    assert found.fallback == {"wanted": "remote", "used": "plain-colours", "because": "Cannot reach here."}
    assert found.options.source.name == "plain-colours" and not found.options.fallback
    assert found.source.colours["warm"] == ("red",) and found.spec.domains == ("warm", "cold")
    with pytest.raises(Offline, match="Cannot reach here"):
        open_dataset(read({"name": "remote", "repo": "here"}), "unpaired")


def test_an_archive_has_no_options_of_its_own():
    with pytest.raises(GanzooError, match=r'archive "horse2zebra" has no options of its own: write source = "horse2z'):
        open_dataset(DataOptions(source={"name": "horse2zebra", "count": 3}), "unpaired")
