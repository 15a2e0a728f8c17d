"""Sample grids: what is shown, and beside what."""

import torch
from torch import nn

from ganzoo import DataSpec, Options, Trainer, grid

SIZE = 16
STEP = 2 * SIZE + grid.GAP  # tiles of small images are twice as large
SPEC = DataSpec(("black", "white"), {"black": 3, "white": 3}, SIZE)
IMAGES = {"black": [-torch.ones(3, SIZE, SIZE)] * 2, "white": [torch.ones(3, SIZE, SIZE)] * 2}


class Negative(Trainer):
    """Translates by turning the image dark where it is light."""

    Config = Options

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.sign = nn.Parameter(torch.tensor(-1.0))

    def phases(self):
        return []

    def translate(self, images, source, target):
        return self.sign * images


class Backwards(Negative):
    """Shows its groups in an order of its own."""

    def sample_columns(self, images, references):
        return {domain: {domain: images[domain]} for domain in reversed(self.domains)}


def columns(trainer, ground_truth):
    """The tiles of the second row, left to right: 0 black, 255 white."""
    page = grid.sample_grid(trainer, IMAGES, ground_truth, "title")
    height = page.height - STEP + SIZE
    found, x = [], grid.GAP
    while x + 2 * SIZE < page.width:
        tile = page.crop((x, height, x + 2 * SIZE, height + 1)).getcolors()
        if len(tile) == 1 and tile[0][1] in ((0, 0, 0), (255, 255, 255)):
            found.append(tile[0][1][0])
            x += STEP
        else:
            x += 1  # the gap between groups
    return found


def test_image_translation_reconstruction_and_ground_truth():
    trainer = Negative(Options(), SPEC)
    assert columns(trainer, False) == [0, 255, 0, 255, 0, 255]
    assert columns(trainer, True) == [0, 255, 0, 255, 255, 0, 255, 0]


def test_the_ground_truth_stands_with_its_own_direction():
    assert columns(Backwards(Options(), SPEC), True) == [255, 0, 0, 255]


def test_titles_are_as_narrow_as_their_tiles():
    tile, words = torch.zeros(1, 3, 40, 40), ("one", "one two", "one two three")
    heights = [grid.compose([[{title: tile} for title in words[:count]]] * 2, "").height for count in (1, 2, 3)]
    assert heights == [2 * grid.HEADER + 2 * (80 + grid.GAP) + lines * grid.LINE for lines in (0, 0, 1)]
    page = grid.compose([[{words[2]: tile, "a": tile}]], "")
    assert page.crop((grid.GAP + 80, 0, grid.GAP + 80 + grid.GAP, page.height)).getcolors() == [
        (grid.GAP * page.height, grid.PAPER)
    ]
