"""Sample grids: test images, their translations and reconstructions, as one image."""

import math
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ganzoo.data.images import convert, to_image
from ganzoo.files import atomic
from ganzoo.trainer import Trainer

GAP, HEADER, TILE = 6, 26, 160  # pixels; tiles are enlarged to TILE, never beyond twice their size
LETTER, LINE = 7, 16  # pixels of a title
SHOWN = 4  # test images
INK, PAPER = (40, 40, 40), (250, 250, 248)


def sample_grid(trainer: Trainer, images: dict[str, list[Tensor]], ground_truth: bool, title: str) -> Image.Image:
    """A row for each test image, a group of columns for each source.

    `ground_truth`: images at one index show the same thing in all domains, so that what is right gets a column.
    """
    device, dtype = next((p.device, p.dtype) for p in trainer.parameters())
    batches = [
        {domain: image[None].to(device, dtype) for domain, image in zip(images, row, strict=True)}
        for row in zip(*images.values(), strict=False)
    ]
    rows: list[list[dict[str, Tensor]]] = []
    with trainer.inference():
        for batch, references in zip(batches, [*batches[1:], *batches[:1]], strict=True):
            groups = trainer.sample_columns(batch, references)
            if ground_truth and len(batch) == 2:  # with more domains the other sources show what is right
                for source, target in trainer.directions():
                    if source in groups:
                        groups[source]["ground truth"] = batch[target]
            rows.append(list(groups.values()))
    return compose(rows, title)


def compose(rows: list[list[dict[str, Tensor]]], title: str) -> Image.Image:
    """Tiles in a grid: a list of rows, each a list of groups of title -> (1, channels, height, width)."""
    tiles = [
        [[_enlarged(to_image(t[0]).convert("RGB")) for t in group.values()] for group in groups] for groups in rows
    ]
    flat = [tile for groups in tiles for group in groups for tile in group]
    wide, high = max(t.width for t in flat), max(t.height for t in flat)
    titles = [[textwrap.fill(name, max(1, wide // LETTER)) for name in group] for group in rows[0]]
    top = 2 * HEADER + LINE * max(title.count("\n") for group in titles for title in group)
    columns = sum(len(group) for group in titles)
    width = GAP + columns * (wide + GAP) + (len(titles) - 1) * 2 * GAP
    page = Image.new("RGB", (width, top + len(tiles) * (high + GAP)), PAPER)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    pen.text((GAP, 6), title, INK, font)
    x = GAP
    for place, group in enumerate(titles):
        for column, name in enumerate(group):
            pen.text((x, HEADER + 4), name, INK, font)
            for row, groups in enumerate(tiles):
                page.paste(groups[place][column], (x, top + row * (high + GAP)))
            x += wide + GAP
        x += 2 * GAP
    return page


def titled(images: dict[str, Image.Image]) -> Image.Image:
    """Images under their titles, row by row, a little wider than high."""
    tiles = {title: _enlarged(convert(image, 3)) for title, image in images.items()}
    wide, high = max(t.width for t in tiles.values()), max(t.height for t in tiles.values())
    header = max(HEADER, wide // 12)
    columns = min(len(tiles), math.ceil((1.5 * len(tiles)) ** 0.5))
    rows = -(-len(tiles) // columns)
    page = Image.new("RGB", (GAP + columns * (wide + GAP), rows * (high + header) + GAP), PAPER)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(header // 2)
    for place, (title, tile) in enumerate(tiles.items()):
        x, y = GAP + place % columns * (wide + GAP), place // columns * (high + header)
        pen.text((x, y + header // 4), title, INK, font)
        page.paste(tile, (x, y + header))
    return page


def enlargement(side: int) -> float:
    """How many times an image, whose longer side has that many pixels, is enlarged."""
    return min(2.0, max(1.0, TILE / side))


def _enlarged(image: Image.Image) -> Image.Image:
    scale = enlargement(max(image.size))
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


def save(image: Image.Image, path: Path) -> None:
    """As PNG. Raises GanzooError where it cannot be written."""
    with atomic(path) as beside:
        image.save(beside, format="PNG")
