"""`ganzoo evaluate-faces`: what translations of rendered faces keep and take, decided by the ground truth."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from pathlib import Path

import click
import torch
from PIL import Image
from torch import Tensor

from ganzoo import GanzooError, Translator, load
from ganzoo.cli.output import bar, print_table, say, say_json
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
    "hair": "the hair colour is the source's; with a reference, the reference's; of the domain where that is a colour",
    "diversity": "L1 between translations of one face by two seeds, images taken as 0 to 1",
}


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--device", default="auto", show_default=True, metavar="D", help="auto, cpu, cuda or mps.")
def evaluate_faces(run: Path, as_json: bool, device: str) -> None:
    """Evaluate a RUN that translates rendered faces, by the ground truth: renderings or hair colours into each other.

    Shares of the 50 test faces, apart for styles at random and of references. The attributes of a translation are those
    of the nearest (L1) of 24 renderings of the same person. The reference is the next face with another hair colour.
    """
    translator = load(run, device)
    directions = [pair for pair in translator.directions if set(pair) <= {*faces.RENDERINGS, *HAIR}]
    if not directions:
        raise GanzooError(
            f'{run} translates between no renderings or hair colours of faces. Train one with source = "faces" and '
            f'domains = ["{HAIR[0]}", "{HAIR[1]}"].'
        )
    found: dict[str, dict[str, float]] = {}
    with bar("evaluating") as update:
        for place, (source, target) in enumerate(directions):
            rows = []
            for row in compared(translator, source, target):
                rows.append(row)
                update(place * TEST + len(rows), len(directions) * TEST)
            found[f"{source}->{target}"] = {name: sum(row[name] for row in rows) / TEST for name in rows[0]}
    found["mean"] = {name: sum(values[name] for values in found.values()) / len(found) for name in rows[0]}
    if as_json:
        say_json(found)
        return
    rows_shown = [[name, *(f"{values[name]:.2f}" for values in found.values())] for name in found["mean"]]
    print_table(["", *found], rows_shown, title=f"{run} at {translator.images:,} images", right=list(found))
    for name, meaning in MEANING.items():
        say(f"{name}: {meaning}")


def compared(translator: Translator, source: str, target: str) -> Iterator[dict[str, float]]:
    """What is right of the translations of each test face: 1 or 0 by the keys of `MEANING`, and the diversity.

    Of translations by a reference the names are "NAME by reference".
    """
    size, trainer = translator.spec.size, translator.trainer
    for seed in range(TEST):
        own = state_of(seed, source)
        image = rendered(seed, size, own)[None]
        row: dict[str, float] = {}
        if trainer.samples_styles or not trainer.encodes_styles:
            fake = translator.translate_tensor(image, source, target, seed)
            row |= verdicts(fake, seed, own, target, own[1])
        if trainer.samples_styles:
            other = translator.translate_tensor(image, source, target, TEST + seed)
            row["diversity"] = (fake - other).abs().mean().item() / 2
        if trainer.encodes_styles:
            others = ((seed + i) % TEST for i in range(1, TEST))
            reference = next(state for s in others if (state := (s, state_of(s, target)))[1][1] != own[1])
            style = rendered(reference[0], size, reference[1])[None]
            fake = translator.translate_tensor(image, source, target, seed, style)
            found = verdicts(fake, seed, own, target, reference[1][1])
            row |= {f"{name} by reference": value for name, value in found.items()}
        yield row


def verdicts(fake: Tensor, seed: int, own: State, target: str, hair: str) -> dict[str, float]:
    """What is right, 1 or 0, of a translation (1, 3, size, size) of the person of `seed`, in [-1, 1]."""
    image, size = fake[0].float().cpu(), fake.shape[-1]
    found = min(STATES, key=lambda state: (rendered(seed, size, state) - image).abs().mean().item())
    outlines = edges(image)
    nearest = max(range(TEST), key=lambda s: (edges(rendered(s, size, found)) * outlines).sum().item())
    asked = state_of(seed, target)
    right = {
        "domain": found[0] == asked[0] and (target not in HAIR or found[1] == target),
        "identity": nearest == seed,
        "glasses": found[3] == own[3],
        "smile": found[2] == own[2],
        "hair": found[1] == (target if target in HAIR else hair),
    }
    return {name: float(value) for name, value in right.items()}


def state_of(seed: int, domain: str) -> State:
    """The state of the person of `seed` in a domain, a rendering or a hair colour."""
    has = faces.attributes(seed)
    if domain in HAIR:
        return "photo", domain, has["smiling"], has["glasses"]
    return domain, next(name for name in HAIR if has[name]), has["smiling"], has["glasses"]


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
