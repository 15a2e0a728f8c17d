"""`ganzoo evaluate-faces`: what translations of rendered faces keep and take, decided by the ground truth."""

import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from pathlib import Path

import click
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from ganzoo import GanzooError, Translator, load
from ganzoo.cli.output import bar
from ganzoo.data.images import to_tensor
from ganzoo_worlds import faces
from ganzoo_worlds.sources import TEST

State = tuple[str, str, bool, bool]
"""Rendering, hair colour, smiling, glasses."""
HAIR = faces.EXCLUSIVE[0]
STATES: tuple[State, ...] = tuple(product(faces.RENDERINGS, HAIR, (False, True), (False, True)))
MEANING = {
    "domain": "the target domain is right",
    "identity": "the person is told from the other 49 by outlines alone: shape, hair style and pose",
    "glasses": "glasses are kept, on or off",
    "smile": "the smile is kept, on or off",
    "hair_kept": "the hair colour is kept",
    "hair_taken": "the hair colour is that of the reference, which has another",
    "diversity": "L1 between translations of one face by two seeds, images taken as 0 to 1",
}


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--device", default="auto", show_default=True, metavar="D", help="auto, cpu, cuda or mps.")
def evaluate_faces(run: Path, as_json: bool, device: str) -> None:
    """Evaluate a RUN that translates rendered faces between photo and cartoon, by the ground truth.

    Shares of the 50 test faces. A translation's attributes are those of the nearest (L1) of 24 renderings of the same
    person. A model that takes references is given a face with another hair colour each time.
    """
    translator = load(run, device)
    directions = [pair for pair in translator.directions if set(pair) <= set(faces.RENDERINGS)]
    if not directions:
        raise GanzooError(
            f'{run} translates between no renderings of faces. Train one with source = "faces" and domains = '
            f'["{faces.RENDERINGS[0]}", "{faces.RENDERINGS[1]}"].'
        )
    found = {}
    for source, target in directions:
        with bar(f"{source} to {target}") as update:
            rows = []
            for row in compared(translator, source, target):
                rows.append(row)
                update(len(rows), TEST)
        found[f"{source}->{target}"] = {name: sum(row[name] for row in rows) / TEST for name in rows[0]}
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    table = Table(title=f"{run} at {translator.images:,} images", title_justify="left", box=None, header_style="dim")
    for column in ("", *found):
        table.add_column(column, justify="right" if column else "left")
    for name in next(iter(found.values())):
        table.add_row(MEANING[name], *(f"{values[name]:.2f}" for values in found.values()))
    Console().print(table)


def compared(translator: Translator, source: str, target: str) -> Iterator[dict[str, float]]:
    """What is right of the translation of each test face: 1 or 0 by the keys of `MEANING`, and the diversity."""
    size, trainer = translator.spec.size, translator.trainer
    for seed in range(TEST):
        own = state_of(seed, source)
        image, reference, wanted = rendered(seed, size, own), None, "hair_kept"
        hair = own[1]
        if trainer.encodes_styles:
            other = next(s for s in range(seed + 1, seed + TEST) if state_of(s % TEST, target)[1] != own[1]) % TEST
            hair, wanted = state_of(other, target)[1], "hair_taken"
            reference = rendered(other, size, state_of(other, target))[None]
        fake = translator.translate_tensor(image[None], source, target, seed, reference)[0].float().cpu()
        found = min(STATES, key=lambda state: (rendered(seed, size, state) - fake).abs().mean().item())
        asked = (target, *found[1:])
        outlines = edges(fake)
        nearest = max(range(TEST), key=lambda s: (edges(rendered(s, size, asked)) * outlines).sum().item())
        row: dict[str, float] = {
            "domain": found[0] == target,
            "identity": nearest == seed,
            "glasses": found[3] == own[3],
            "smile": found[2] == own[2],
            wanted: found[1] == hair,
        }
        if trainer.samples_styles:
            one, two = (translator.translate_tensor(image[None], source, target, s) for s in (2 * seed, 2 * seed + 1))
            row["diversity"] = (one - two).abs().mean().item() / 2
        yield {name: float(value) for name, value in row.items()}


def state_of(seed: int, rendering: str) -> State:
    """The state that the person of `seed` has by nature."""
    has = faces.attributes(seed)
    return rendering, next(name for name in HAIR if has[name]), has["smiling"], has["glasses"]


@lru_cache(maxsize=TEST * len(STATES))
def rendered(seed: int, size: int, state: State) -> Tensor:
    """The person in that state, (3, size, size) in [-1, 1]."""
    rendering, hair, smiling, glasses = state
    return to_tensor(
        Image.fromarray(faces.render(seed, rendering, size, **{hair: True}, smiling=smiling, glasses=glasses))
    )


def edges(image: Tensor) -> Tensor:
    """Where an image (3, size, size) changes, whatever its colours: a map of length 1."""
    grey = image.mean(0)
    across, down = torch.gradient(grey)
    steep = (across.square() + down.square()).sqrt()
    return steep / steep.norm().clamp_min(1e-6)
