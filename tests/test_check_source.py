"""The conformance test of data sources: ours pass it, and each way of breaking the contract is told for what it is."""

import numpy as np
import pytest
from ganzoo_testing import ConformanceError, check_source
from PIL import Image

SOURCES = '''
import random
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import numpy as np

from ganzoo import GanzooError, ImageRef, Source


@dataclass(frozen=True)
class Grey(ImageRef):
    value: int = 0

    def open(self):
        return PIL.Image.new("L", (20, 20), self.value)


class Sound(Source):
    kinds = ("unpaired",)
    domains = ("A", "B")

    def __init__(self, options, kind):
        pass

    def images(self, split, domain):
        first = 0 if split == "train" else 100
        return [Grey(Path(f"{i}.png"), value=i) for i in range(first, first + 5)]


class Clips(Sound):
    """Of a kind that nobody has registered."""

    kinds = ("clips",)


class Silent(Sound):
    def __init__(self, options, kind, *, path: str):
        pass


class Refusing(Sound):
    def __init__(self, options, kind):
        raise GanzooError("There is no such folder. Create it.")


class Three(Sound):
    domains = ("A", "B", "C")


class Empty(Sound):
    def images(self, split, domain):
        return super().images(split, domain)[:0 if (split, domain) == ("train", "B") else 5]


class Missing(Sound):
    def images(self, split, domain):
        return [ImageRef(Path("nowhere.png"))]


class Leaky(Sound):
    def images(self, split, domain):
        return super().images("train", domain)[: 5 if split == "train" else 2]


@dataclass(frozen=True)
class Listed(Grey):
    more: object = None


class Unhashable(Sound):
    def images(self, split, domain):
        return [Listed(ref.path, value=ref.value, more=[]) for ref in super().images(split, domain)]


class Labels(Sound):
    kinds = ("labelled",)
    domains = ("image",)
    labels = ("dark", "light")
    groups = (labels,)

    def images(self, split, domain):
        return [Grey(r.path, value=r.value, labels=self.of(r)) for r in super().images(split, domain)]

    def of(self, ref):
        return (float(ref.value % 2), float(1 - ref.value % 2))


class Nameless(Labels):
    labels = groups = ()

    def of(self, ref):
        return ()


class Short(Labels):
    def of(self, ref):
        return super().of(ref)[:1]


class Percent(Labels):
    def of(self, ref):
        return (0.3, 0.7)


class Grouped(Labels):
    groups = (("dark", "grey"),)


class Inventive(Labels):
    def counterpart(self, image, labels):
        return Grey(image.path, value=image.value + 1, labels=image.labels)


class Uneven(Sound):
    kinds = ("paired",)

    def images(self, split, domain):
        return super().images(split, domain)[: 4 if (split, domain) == ("train", "B") else 5]


class Untrue(Sound):
    ground_truth = True

    def images(self, split, domain):
        return super().images(split, domain)[: 4 if (split, domain) == ("test", "B") else 5]


class Shuffled(Sound):
    def images(self, split, domain):
        return random.sample(images := super().images(split, domain), len(images))


class Renamed(Sound):
    def __init__(self, options, kind):
        self.domains = ("A", random.choice("BCDEFGHIJKLMNOPQRSTUVWXYZ") + str(random.random())[2:])


class Noise(Grey):
    def open(self):
        return PIL.Image.fromarray(np.random.default_rng().integers(0, 255, (20, 20), np.uint8))


class Noisy(Sound):
    def images(self, split, domain):
        return [Noise(ref.path, value=ref.value) for ref in super().images(split, domain)]


class Rooted(Sound):
    def __init__(self, options, kind):
        self.file = open(__file__)


class Odd(Grey):
    def open(self):
        return PIL.Image.new("F", (20, 20), 300.0)


class Flat(Sound):
    def images(self, split, domain):
        return [Odd(ref.path, value=ref.value) for ref in super().images(split, domain)]
'''
SPOILED = {
    "Clips": ('asked for kind "clips"', "data to train on", 'There is no kind "clips" installed'),
    "Silent": ("options", "valid", "path: is missing"),
    "Refusing": ("data to train on", "There is no such folder"),
    "Three": ("data to train on", "needs 2 domains, and the data has 3: A, B, C"),
    "Empty": ('images in the split "train" of "B"; there are none',),
    "Missing": ("train image nowhere.png", "an image that can be opened"),
    "Leaky": ('test images of "A" that are not trained on', ".png is in both"),
    "Unhashable": ("images that can be compared", "unhashable type"),
    "Nameless": ("expected labels; it has none",),
    "Short": ("train image 0.png", "a number for each label, 2 in all; there are 1"),
    "Percent": ("labels of 1, 0 or nan; they are (0.3, 0.7)",),
    "Grouped": ("groups of labels that it has", "a group with grey"),
    "Inventive": ("counterpart of 100.png", "the same image; it is another"),
    "Uneven": ('as many images of each domain in "train"', "{'A': 5, 'B': 4}"),
    "Untrue": ('as many images of each domain in "test"', "{'A': 5, 'B': 4}"),
    "Shuffled": ("in the same order opened again",),
    "Renamed": ("the same domains and labels opened again",),
    "Noisy": ("train image 0.png", "the same pixels opened again"),
    "Rooted": ("can be pickled", "TypeError"),
    "Flat": ("data.channels = 1", "items for training"),
}


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory, plugin, known):
    site = tmp_path_factory.mktemp("site")
    kinds = {"Clips": "clips", "Uneven": "paired"}
    kinds |= dict.fromkeys(("Labels", "Nameless", "Short", "Percent", "Grouped", "Inventive"), "labelled")
    lines = [
        f'    register("{name.lower()}", "ganzoo_spoiled_sources.source:{name}", data_kinds="{kinds.get(name, "unpaired")}")\n'
        for name in ("Sound", "Labels", *SPOILED)
    ]
    lines.append('    register("boaster", "ganzoo_spoiled_sources.source:Sound", data_kinds="unpaired paired")\n')
    hook = "from ganzoo import hookimpl\n\n\n@hookimpl\ndef register_sources(register):\n"
    plugin(site, "spoiled_sources", {"__init__": hook + "".join(lines), "source": SOURCES})
    known(site)


@pytest.mark.parametrize("name", ["sound", "labels", "landscapes", "faces", "digits"])
def test_sound_sources_pass(name):
    check_source(name)


@pytest.mark.parametrize(
    ("files", "kinds", "data"),
    [
        ("trainA/1 trainA/2 trainB/1 testA/3 testB/3", ("unpaired", "domains"), {}),
        ("a/1 a/2 b/1 b/2 c/1 c/2", ("domains", "labelled", "images"), {}),
        ("train/a/1 train/b/1", ("paired", "unpaired"), {"channels": {"a": 3, "b": 1}}),
        ("train/1 train/2 test/3", ("paired", "unpaired"), {"domains": ("left", "right")}),
    ],
)
def test_folders_pass_in_every_layout(tmp_path, files, kinds, data):
    rng = np.random.default_rng(0)
    for file in files.split():
        path = (tmp_path / file).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (20, 40, 3), np.uint8)).save(path)
    check_source("folders", kinds=kinds, root=str(tmp_path), **data)


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_source_is_refused(name):
    with pytest.raises(ConformanceError) as refusal:
        check_source(name.lower())
    assert str(refusal.value).startswith(f'source "{name.lower()}", ')
    for words in SPOILED[name]:
        assert words in str(refusal.value)


def test_what_it_is_registered_for_is_what_it_claims():
    with pytest.raises(ConformanceError, match=r"\('unpaired',\); it is registered for \['unpaired', 'paired'\]"):
        check_source("boaster")
