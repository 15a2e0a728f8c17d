"""Several runs side by side: the same test images through each, and their figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader
from PIL import Image
from torch import Tensor

from ganzoo import grid
from ganzoo.data.dataset import open_dataset
from ganzoo.data.images import to_tensor
from ganzoo.errors import GanzooError
from ganzoo.evaluate import Figures, evaluate
from ganzoo.files import refuse_existing, write_text
from ganzoo.report import data_uri
from ganzoo.translate import Translator, load


@dataclass(frozen=True)
class Comparison:
    """Figures of each run, by its name, and an image for each direction that all of them serve."""

    figures: dict[str, Figures]
    grids: dict[str, Image.Image]
    summaries: dict[str, str]


def compare(paths: Sequence[Path], device: str = "auto") -> Comparison:
    """Puts the first run's test images through every run; of runs that make new images, shows some.

    GanzooError where they have no direction in common.
    """
    names = _names(paths)
    runs = dict(zip(names, (load(path, device) for path in paths), strict=True))
    first = runs[names[0]]
    shared = [d for d in first.directions if all(d in run.directions for run in runs.values())]
    making = not any(run.directions for run in runs.values())  # all make new images
    if not shared and not making:
        known = "; ".join(f"{n}: {', '.join('->'.join(d) for d in run.directions)}" for n, run in runs.items())
        raise GanzooError(f"These runs have no direction in common, so nothing can be set side by side ({known}).")
    for name, run in runs.items():
        if run.spec.size != first.spec.size:
            raise GanzooError(
                f"{name} was trained at {run.spec.size} px, {names[0]} at {first.spec.size} px: compare one size."
            )
    data, metrics = first.recipe.data, first.recipe.train.measures()
    datasets = {run.recipe.data_kind: open_dataset(data, run.recipe.data_kind) for run in runs.values()}
    dataset = datasets[first.recipe.data_kind]
    figures = {}
    for name, run in runs.items():
        figures[name] = evaluate(run.trainer, datasets[run.recipe.data_kind] if making else dataset, metrics)
    if making:
        made = {name: list(run.generate(grid.SHOWN)) for name, run in runs.items()}
        rows = [[{name: to_tensor(images[i])[None] for name, images in made.items()}] for i in range(grid.SHOWN)]
        grids = {"new images": grid.compose(rows, "new images")}
    else:
        widest = max((run.trainer for run in runs.values()), key=lambda trainer: trainer.multiple)
        tests = dataset.for_model(widest).test_images(grid.SHOWN)
        grids = {f"{s} to {t}": _grid(runs, tests, (s, t), dataset.ground_truth) for s, t in shared}
    summaries = {}
    for name, run in runs.items():
        parameters = sum(p.numel() for p in run.trainer.parameters())
        summaries[name] = f"{run.recipe.model}, {run.images:,} images, {parameters:,} parameters"
    return Comparison(figures, grids, summaries)


def write(comparison: Comparison, path: Path) -> None:
    """One HTML file with everything in it."""
    refuse_existing(path)
    template = Environment(loader=PackageLoader("ganzoo", "."), autoescape=True).get_template("compare.html.j2")
    images = {title: data_uri(image) for title, image in comparison.grids.items()}
    page = template.render(runs=comparison.summaries, rows=rows(comparison.figures), images=images)
    write_text(path, page)


def rows(figures: dict[str, Figures]) -> list[tuple[str, str, list[float | None]]]:
    """(direction, figure, value of each run), with the identity baseline's figures as rows of their own."""
    wanted = dict.fromkeys((d, name) for run in figures.values() for d, values in run.items() for name in values)
    return [(d, name, [run.get(d, {}).get(name) for run in figures.values()]) for d, name in wanted]


def _grid(
    runs: dict[str, Translator], tests: dict[str, list[Tensor]], direction: tuple[str, str], truth: bool
) -> Image.Image:
    source, target = direction
    lines = []
    for index, image in enumerate(tests[source]):
        line = {source: image[None]}
        for name, run in runs.items():
            line[name] = run.translate_tensor(image[None], source, target)
        if truth and target in tests:
            line["ground truth"] = tests[target][index][None]
        lines.append([line])
    return grid.compose(lines, f"{source} to {target}")


def _names(paths: Sequence[Path]) -> list[str]:
    """Folder names, or whole paths where two folders are named alike."""
    short = [path.resolve().name for path in paths]
    return short if len(set(short)) == len(short) else [str(path) for path in paths]
