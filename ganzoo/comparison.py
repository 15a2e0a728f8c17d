"""Several runs side by side: the same test images through each, and their metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from PIL import Image

from ganzoo import grid
from ganzoo.data.dataset import Dataset, evaluation_data, open_dataset
from ganzoo.data.downloads import Say
from ganzoo.data.images import to_tensor
from ganzoo.errors import GanzooError
from ganzoo.evaluation import Metrics, evaluate
from ganzoo.evaluation.scores import reference_of
from ganzoo.files import refuse_existing, write_text
from ganzoo.report import data_uri, render
from ganzoo.translate import Translator, load


@dataclass(frozen=True)
class Comparison:
    """Runs side by side, each by its name."""

    metrics: dict[str, Metrics]
    """of each run"""
    grids: dict[str, Image.Image]
    """title -> sample grid: one for each direction that all of them serve, one of new images if all generate"""
    summaries: dict[str, str]
    """what each run is"""
    lost_metrics: Sequence[str] = ()
    """those that the first run's recipe names and no plugin here knows"""


def compare(paths: Sequence[Path], device: str = "auto", data: str = "", say: Say = print) -> Comparison:
    """Evaluates every run on the first run's test images, or on other `data`, with the first one's metrics.

    Raises GanzooError where the runs have nothing in common that can be set side by side.
    """
    names = _names(paths)
    runs = dict(zip(names, (load(path, device) for path in paths), strict=True))
    first = runs[names[0]]
    shared = [d for d in first.directions if all(d in run.directions for run in runs.values())]
    generating = all(run.trainer.generates for run in runs.values())
    _check_alike(runs, bool(shared), generating)
    options, metrics = evaluation_data(paths[0], first.recipe.data, data), first.recipe.train.build_metrics()
    kinds = {name: first.recipe.data_kind if shared else run.recipe.data_kind for name, run in runs.items()}
    datasets = {kind: open_dataset(options, kind, say) for kind in dict.fromkeys(kinds.values())}
    found = {name: evaluate(run.trainer, datasets[kinds[name]], metrics) for name, run in runs.items()}
    grids = {f"{s} to {t}": _translations(runs, datasets[first.recipe.data_kind], s, t) for s, t in shared}
    if generating:
        grids["new images"] = _new_images(runs)
    summaries = {}
    for name, run in runs.items():
        parameters = sum(p.numel() for p in run.trainer.parameters())
        summaries[name] = f"{run.recipe.model}, {run.images:,} images, {parameters:,} parameters"
    return Comparison(found, grids, summaries, first.lost_metrics)


def write(comparison: Comparison, path: Path) -> None:
    """One HTML file with everything in it."""
    refuse_existing(path)
    grids = {title: data_uri(image) for title, image in comparison.grids.items()}
    write_text(
        path, render("comparison.html.j2", vars(comparison) | {"rows": rows(comparison.metrics), "grids": grids})
    )


def rows(metrics: dict[str, Metrics]) -> list[tuple[str, str, list[float | None]]]:
    """(direction, metric, value of each run); the identity baseline has rows of its own."""
    keys = dict.fromkeys((d, name) for run in metrics.values() for d, values in run.items() for name in values)
    return [
        (
            d,
            name.replace("_identity", " of the identity baseline"),
            [run.get(d, {}).get(name) for run in metrics.values()],
        )
        for d, name in keys
    ]


def _check_alike(runs: dict[str, Translator], translating: bool, generating: bool) -> None:
    (first_name, first), *others = runs.items()
    if not translating and not generating:
        known = "; ".join(f"{n}: {', '.join('->'.join(d) for d in run.directions)}" for n, run in runs.items())
        raise GanzooError(f"These runs have no direction in common, so nothing can be set side by side ({known}).")
    for name, run in others:
        if run.spec.size != first.spec.size:
            sizes = f"{name} was trained at {run.spec.size} px, {first_name} at {first.spec.size} px"
            raise GanzooError(f"{sizes}: compare runs of one size.")
        if translating and run.spec.labels != first.spec.labels:
            mine, theirs = (", ".join(spec.labels) or "none" for spec in (run.spec, first.spec))
            raise GanzooError(
                f"{name} knows the labels {mine}, {first_name} {theirs}: compare runs of the same labels."
            )


def _translations(runs: dict[str, Translator], dataset: Dataset, source: str, target: str) -> Image.Image:
    """A row for each test image, a column for each run, and the ground truth where the source knows it."""
    widest = max((run.trainer for run in runs.values()), key=lambda trainer: trainer.multiple)
    domains = (source, target) if dataset.ground_truth else (source,)
    references = {name: reference_of(run.trainer, dataset, target) for name, run in runs.items()}
    lines = []
    for row in islice(dataset.for_model(widest).test_rows(*domains, count=grid.SHOWN), grid.SHOWN):
        image, *ground_truth = (tensor[None] for _, tensor in row)
        line = {source: image}
        for name, run in runs.items():
            line[name] = run.translate_tensor(image, source, target, reference=references[name])
        lines.append([line | ({"ground truth": ground_truth[0]} if ground_truth else {})])
    return grid.compose(lines, f"{source} to {target}")


def _new_images(runs: dict[str, Translator]) -> Image.Image:
    count = min(grid.SHOWN, *(run.trainer.distinct_images or grid.SHOWN for run in runs.values()))
    generated = {name: run.generate(count) for name, run in runs.items()}
    lines = [[{name: to_tensor(next(images))[None] for name, images in generated.items()}] for _ in range(count)]
    return grid.compose(lines, "new images")


def _names(paths: Sequence[Path]) -> list[str]:
    """Folder names, or whole paths where two folders are named alike."""
    short = [path.resolve().name for path in paths]
    return short if len(set(short)) == len(short) else [str(path) for path in paths]
