"""Writes docs/leaderboard.md: unpaired models with the same images and as many parameters, over several seeds.

    python docs/leaderboard.py                          tells what it costs, trains what is missing, writes the page
    python docs/leaderboard.py --photographs FOLDER     on your own two kinds of photographs, too
    python docs/leaderboard.py --recipe mine.toml       your model takes part

leaderboard.toml has the data and the budget, leaderboard/*.toml each model. Stop it at any time; the same command goes
on.
"""

import io
import json
import os
import platform
import re
import statistics
import sys
import tomllib
from collections import defaultdict
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import click
import torch
from PIL import Image
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure as ssim

from ganzoo import grid, recipe, sweep
from ganzoo.bench import bench
from ganzoo.cli import cli
from ganzoo.cli.output import print_table, say
from ganzoo.data.dataset import Dataset, open_dataset
from ganzoo.data.images import ImageRef
from ganzoo.data.kinds import Labelled
from ganzoo.data.sources import Source
from ganzoo.errors import GanzooError, tell
from ganzoo.evaluation.scores import reference_of
from ganzoo.files import refuse_existing, write_bytes, write_json, write_text
from ganzoo.registry import registry
from ganzoo.runfolder import RunFolder, flat, read_lines, read_table
from ganzoo.sweep import Job, Summary
from ganzoo.translate import Translator, load

DOCS = Path(__file__).parent
UNPAIRED = ("unpaired", "domains")  # kinds of data that tie no images together
OVERHEAD = 15  # seconds of a run beside its training: evaluation, sample grids, report
SHOWN, WIDEST, HEAVIEST = 3, 1100, 100_000  # test images; pixels and bytes of a picture
BETTER = {"l1": -1, "ssim": 1, "cycle_l1": -1, "taken": 1, "colours": -1}  # of structure 1 is an image left alone
TITLES = {
    "l1": "L1",
    "ssim": "SSIM",
    "taken": "taken for {}",
    "colours": "colours",
    "structure": "structure",
    "cycle_l1": "cycle L1",
}
MARK = "<!-- generated: {} -->"


@click.command(help=__doc__.partition("\n")[0])
@click.option("--recipe", "more", multiple=True, type=click.Path(path_type=Path), help="One more that takes part.")
@click.option("--photographs", default="", metavar="FOLDER", help="Of two domains, as data.root in a recipe.")
@click.option(
    "--plan", "file", default=DOCS / "leaderboard.toml", type=click.Path(path_type=Path), help="Data, budget."
)
@click.option("--out", default=Path("runs/leaderboard"), type=click.Path(path_type=Path), help="Folder of the runs.")
@click.option("--page", default=DOCS / "leaderboard.md", type=click.Path(path_type=Path), help="What to write.")
@click.option("--dry-run", is_flag=True, help="Tell what it costs, and stop.")
@click.option("--no-training", is_flag=True, help="Write the page of what is trained.")
def main(
    more: tuple[Path, ...], photographs: str, file: Path, out: Path, page: Path, dry_run: bool, no_training: bool
) -> None:
    plan = tomllib.loads(file.read_text(encoding="utf-8"))
    recipes = [Path(os.path.relpath(p)) for p in (*sorted((file.parent / plan["recipes"]).glob("*.toml")), *more)]
    worlds = {}
    for name, data in plan["data"].items():
        if data["source"] == "folders" and not data.get("root"):
            if not photographs and not (no_training and (out / name / sweep.PLAN).is_file()):
                continue
            data = data | {"root": photographs}
        changes = dict(flat(plan["all"])) | {f"data.{key}": value for key, value in data.items()}
        worlds[name] = sweep.plan(
            recipes, [f"{key}={json.dumps(value)}" for key, value in changes.items()], plan["seeds"]
        )
    if not no_training:
        for name, jobs in worlds.items():
            begin(jobs, out / name)
        tell_cost(worlds, out)
        if dry_run:
            return
        train(worlds, out)
    for name in worlds:
        measure(out / name)
    write(out, list(worlds), page)


def begin(jobs: list[Job], folder: Path) -> None:
    """Adds what is new to the plan. Raises GanzooError for settings that it has with other values, and for pairs."""
    for job in jobs:
        if job.seed == 0 and (kind := read(job).data_kind) not in UNPAIRED:
            raise GanzooError(
                f'{job.arguments[0]}: its model learns from data of kind "{kind}", and the leaderboard is of models '
                f"that learn from {' or '.join(UNPAIRED)} images of two domains. Leave it out."
            )
    if not (folder / sweep.PLAN).is_file():
        refuse_existing(folder)
    there = {(job["setting"], job["seed"]): job for job in read_table(folder / sweep.PLAN).get("jobs", [])}
    wanted = {(job.setting, job.seed): asdict(job) for job in jobs}
    for key, job in wanted.items():
        if there.get(key, job) != job:
            raise GanzooError(f"{folder} holds runs of {key[0]} with other settings: give another --out.")
    write_json(folder / sweep.PLAN, {"jobs": list((there | wanted).values())})


def read(job: Job) -> recipe.Recipe:
    """Of the arguments RECIPE --set KEY=VALUE --set ..."""
    return recipe.read(Path(job.arguments[0]), changes=job.arguments[2::2])


def tell_cost(worlds: dict[str, list[Job]], out: Path) -> None:
    """What is left to train, by the speed of a few steps; where a model has a finished run, by that one's."""
    rows, total = [], 0.0
    known: dict[str, float] = {}
    waiting: dict[str, list[tuple[str, Job]]] = defaultdict(list)
    for world, jobs in worlds.items():
        for job in jobs:
            if sweep.finished(out / world, job):
                known[job.setting] = read_lines(RunFolder(out / world / job.folder).log)[-1]["images_per_s"]
            else:
                waiting[job.setting].append((world, job))
    for setting, left in waiting.items():
        if left:
            images, speed = read(left[0][1]).train.images, known.get(setting) or measured_speed(left[0][1])
            seconds = len(left) * (images / speed + OVERHEAD)
            rows.append((setting, str(len(left)), f"{speed:.1f}", f"{seconds / 60:.0f}"))
            total += seconds
    if rows:
        print_table(("model", "runs", "images/s", "minutes"), rows, right=("runs", "images/s", "minutes"))
    say(f"To train: {sum(map(len, waiting.values()))} runs, about {total / 3600:.1f} hours at this speed.")


def measured_speed(job: Job) -> float:
    chosen = read(job)
    return bench(chosen, open_dataset(chosen.data, chosen.data_kind, say), 4).images_per_s


def train(worlds: dict[str, list[Job]], out: Path) -> None:
    """One seed of everything after the other, so that a part of it is a leaderboard already.

    In this process, as each start of the program costs seconds.
    """
    for job, folder in sorted(((j, out / w) for w, jobs in worlds.items() for j in jobs), key=lambda one: one[0].seed):
        if not sweep.finished(folder, job):
            say(f"{folder / job.folder} ...")
            code = cli.main(
                ["run", *job.arguments, "--out", str(folder / job.folder), "--resume"], standalone_mode=False
            )
            if code:
                sys.exit(code)


class Sorted(Source):
    """The images of all domains as one, labelled with the domain that each is from."""

    kinds = ("labelled",)

    def __init__(self, source: Source) -> None:
        self.source, self.domains, self.labels = source, ("image",), source.domains
        self.groups = (self.labels,)

    def images(self, split: str, domain: str) -> list[ImageRef]:
        return [
            replace(ref, labels=tuple(float(name == other) for other in self.labels))
            for name in self.labels
            for ref in self.source.images(split, name)
        ]


def measure(folder: Path) -> None:
    """Beside each finished run, what it takes no ground truth to see, and its parameters; see the page."""
    dataset = classifier = None
    for job in jobs_of(folder):
        file = folder / f"{job.folder}.json"
        if file.is_file() or not sweep.finished(folder, job):
            continue
        run = load(folder / job.folder, "cpu")
        if dataset is None:
            dataset = open_dataset(run.recipe.data, run.recipe.data_kind, say)
            say(f"Training the classifier of {' and '.join(dataset.source.domains)} ...")
            classifier = Dataset(Sorted(dataset.source), run.recipe.data, Labelled()).classifier()
            test = {d: torch.stack(images) for d, images in dataset.test_images().items()}
        found: dict[str, Any] = {"parameters": sum(p.numel() for p in run.trainer.parameters())}
        found["classifier"] = statistics.fmean(classifier.accuracy.values())
        found["metrics"] = {}
        for source, target in run.directions:
            fakes, found["used"] = translated(run, dataset, test[source], source, target)
            place = classifier.spec.labels.index(target)
            values = {}
            for suffix, images in (("", fakes), ("_identity", test[source])):
                values[f"taken{suffix}"] = classifier.labels(images)[:, place].double().mean().item()
                values[f"colours{suffix}"] = colour_distance(images, test[target])
            values["structure"] = structure(fakes, test[source])
            found["metrics"][f"{source}->{target}"] = values
        write_json(file, found)


def translated(run: Translator, dataset: Dataset, images: Tensor, source: str, target: str) -> tuple[Tensor, int]:
    """The translations, and how many parameters the networks have that made them."""
    used: dict[int, int] = {}

    def count(module: torch.nn.Module, *_: Any) -> None:
        used.update((id(p), p.numel()) for p in module.parameters(recurse=False))

    hooks = [module.register_forward_hook(count) for module in run.trainer.modules()]
    reference = reference_of(run.trainer, dataset, target)
    fakes = run.translate_tensor(images, source, target, reference=reference).float().cpu()
    for hook in hooks:
        hook.remove()
    return fakes, sum(used.values())


def colour_distance(images: Tensor, real: Tensor) -> float:
    """Mean over channels of the Wasserstein-1 distance of the values of all pixels, in [0, 1]."""
    shares = torch.linspace(0, 1, 256)
    quantiles = (torch.quantile(x.transpose(0, 1).flatten(1), shares, dim=1) for x in (images, real))
    first, second = quantiles
    return (first - second).abs().mean().item() / 2


def structure(images: Tensor, source: Tensor) -> float:
    """SSIM of translations and inputs, both grey and of one brightness and contrast: 1 where only these differ."""

    def plain(x: Tensor) -> Tensor:
        grey = x.mean(dim=1, keepdim=True)
        deviation, mean = torch.std_mean(grey, dim=(2, 3), keepdim=True)
        return 0.5 + 0.2 * (grey - mean) / deviation.clamp(min=1e-3)

    return float(ssim(plain(images), plain(source), data_range=1.0))


def jobs_of(folder: Path) -> list[Job]:
    return [Job(**job) for job in read_table(folder / sweep.PLAN)["jobs"]]


def measured(folder: Path) -> list[Job]:
    """Those that are trained and measured; others may still be trained meanwhile."""
    return [job for job in jobs_of(folder) if (folder / f"{job.folder}.json").is_file()]


def gather(folder: Path) -> dict[str, dict[tuple[str, str], Summary]]:
    """Setting -> (direction, metric) -> mean and deviation over the finished seeds; the best settings first."""
    found: dict[str, dict[tuple[str, str], list[float]]] = {}
    for job in measured(folder):
        own = read_table(folder / f"{job.folder}.json")["metrics"]
        for table in (read_table(RunFolder(folder / job.folder).metrics), own):
            for direction, values in table.items():
                for metric, value in values.items():
                    found.setdefault(job.setting, {}).setdefault((direction, metric), []).append(value)
    return {
        setting: {
            key: Summary(statistics.fmean(v), statistics.stdev(v) if len(v) > 1 else None, len(v))
            for key, v in by.items()
        }
        for setting, by in found.items()
    }


def write(out: Path, worlds: list[str], page: Path) -> None:
    """Puts the tables between the page's marks; one that is not there is begun. Raises GanzooError without marks."""
    blocks = {"models": models(out, worlds, page)}
    for world in worlds:
        found = tables(out / world) + pictures(out / world, page) if measured(out / world) else None
        blocks[world] = found or ["Nothing is trained here yet."]
    if page.exists():
        text = page.read_text(encoding="utf-8")
    else:
        text = "# Leaderboard\n\n" + "\n".join(f"{MARK.format(name)}\n<!-- /generated -->\n" for name in blocks)
    for name, lines in blocks.items():
        if MARK.format(name) not in text:
            raise GanzooError(f'{page} has no "{MARK.format(name)}": add it, or give another --page.')
        pattern = rf"({re.escape(MARK.format(name))}\n).*?(<!-- /generated -->)"
        content = "\n".join(lines)
        text = re.sub(pattern, lambda m, c=content: f"{m[1]}\n{c}\n\n{m[2]}", text, flags=re.DOTALL)
    write_text(page, text)
    say(f"Page: {page}")


def models(out: Path, worlds: list[str], page: Path) -> list[str]:
    """What each run was: settings, parameters and time."""
    runs: dict[str, list[tuple[Job, Path]]] = defaultdict(list)
    for world in worlds:
        for job in measured(out / world):
            runs[job.setting].append((job, out / world / job.folder))
    if not runs:
        raise GanzooError(f"{out} holds no finished run yet.")
    lines = [
        "| entry | model | what it sets | parameters of one direction | of all networks | images/s | minutes |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for setting, found in sorted(runs.items()):
        job, folder = found[0]
        resolved, file = read_table(RunFolder(folder).recipe), Path(job.arguments[0])
        seconds = [read_lines(RunFolder(path).log)[-1]["seconds"] for _, path in found]
        facts = read_table(folder.with_name(f"{folder.name}.json"))
        paper = registry().find("model", resolved["model"]).facts.get("paper", "")
        paper = re.sub(r"arXiv:(\S+)", r"[arXiv:\1](https://arxiv.org/abs/\1)", paper)
        written = {k: v for k, v in tomllib.loads(file.read_text(encoding="utf-8")).items() if k != "model"}
        sets = ", ".join(f"`{key.rpartition('options.')[2]} = {json.dumps(v)}`" for key, v in flat(written))
        ours = file.resolve().is_relative_to(page.resolve().parent)
        linked = f"[{setting}]({file.resolve().relative_to(page.resolve().parent).as_posix()})" if ours else setting
        speed = statistics.fmean(resolved["train"]["images"] / s for s in seconds)
        minutes = f"{statistics.fmean(seconds) / 60:.1f}"
        cells = (linked, f"{resolved['model']}, {paper}", sets, f"{facts['used']:,}", f"{facts['parameters']:,}")
        lines.append(f"| {' | '.join((*cells, f'{speed:.1f}', minutes))} |")
    hardware = read_table(RunFolder(folder).env)
    images, size = resolved["train"]["images"], resolved["data"]["size"]
    finished, planned = (sum(len(x) for x in runs.values()), sum(len(jobs_of(out / world)) for world in worlds))
    said = f"{finished} of {planned} runs" if finished < planned else f"{planned} runs"
    lines += [
        "",
        f"{said}, each of {images:,} images of each domain at {size} px, on {processor()}, {hardware['device']}, "
        f"{hardware['threads']} thread(s). Minutes and images/s are means over these runs, of the training alone.",
    ]
    return lines


def tables(folder: Path) -> list[str]:
    """One for each direction: a line for each model, and the identity baseline."""
    found, lines = gather(folder), []
    directions = dict.fromkeys(direction for by in found.values() for direction, _ in by)
    for direction in directions:
        target = direction.partition("->")[2]
        names = [m for m in TITLES if any((direction, m) in by for by in found.values())]
        titles = [TITLES[m].format(target) for m in names]
        lines += [f"**{direction.replace('->', ' to ')}**", "", f"| | seeds | {' | '.join(titles)} |"]
        lines.append("| --- " + "| ---: " * (1 + len(names)) + "|")
        best = {m: winners(m, {s: by[direction, m] for s, by in found.items() if (direction, m) in by}) for m in names}
        rows = {setting: by for setting, by in sorted(found.items()) if any(d == direction for d, _ in by)}
        for setting, by in rows.items():
            cells = [shown(by.get((direction, m)), setting in best[m]) for m in names]
            seeds = max(summary.seeds for (d, _), summary in by.items() if d == direction)
            lines.append(f"| {setting} | {seeds} | {' | '.join(cells)} |")
        baseline = next(iter(rows.values()))
        cells = [
            shown(replace(b, deviation=None)) if (b := baseline.get((direction, f"{m}_identity"))) else ""
            for m in names
        ]
        lines += [f"| *identity baseline* | | {' | '.join(cells)} |", ""]
    accuracy = read_table(folder / f"{measured(folder)[0].folder}.json")["classifier"]
    return [*lines, f"The classifier is right about {accuracy:.0%} of the real test images.", ""]


def winners(metric: str, summaries: dict[str, Summary]) -> list[str]:
    """Those whose mean is best, as the table shows it, where there are several to choose from."""
    sign, means = BETTER.get(metric, 0), {setting: round(found.mean, 3) for setting, found in summaries.items()}
    return (
        [s for s, m in means.items() if sign * m == max(sign * x for x in means.values())]
        if sign and len(means) > 1
        else []
    )


def shown(found: Summary | None, best: bool = False) -> str:
    if found is None:
        return ""
    text = f"{found.mean:.3f}" + ("" if found.deviation is None else f" ± {found.deviation:.3f}")
    return f"**{text}**" if best else text


def pictures(folder: Path, page: Path) -> list[str]:
    """The same test images through every model's first seed, for each direction; written beside the page."""
    runs = {job.setting: load(folder / job.folder, "cpu") for job in measured(folder) if not job.seed}
    lines = []
    for source, target in dict.fromkeys(direction for run in runs.values() for direction in run.directions):
        serving = {name: run for name, run in sorted(runs.items()) if (source, target) in run.directions}
        options = next(iter(serving.values())).recipe
        dataset = open_dataset(options.data, options.data_kind, say)
        domains = (source, target) if dataset.ground_truth else (source,)
        rows = []
        for row in islice(dataset.test_rows(*domains, count=SHOWN), SHOWN):
            image, *ground_truth = (tensor[None] for _, tensor in row)
            tiles = {source: image}
            for name, run in serving.items():
                reference = reference_of(run.trainer, dataset, target)
                tiles[name] = run.translate_tensor(image, source, target, reference=reference)
            rows.append([tiles | ({"ground truth": ground_truth[0]} if ground_truth else {})])
        name = f"{folder.name}-{source}-{target}.webp"
        save(grid.compose(rows, f"{source} to {target}"), page.parent / "images" / "leaderboard" / name)
        lines += [f"![{source} to {target} by every model](images/leaderboard/{name})", ""]
    return lines[:-1]


def save(image: Image.Image, path: Path) -> None:
    """As WebP, not heavier than HEAVIEST."""
    if image.width > WIDEST:
        image = image.resize((WIDEST, round(image.height * WIDEST / image.width)), Image.Resampling.LANCZOS)
    for quality in range(90, 10, -10):
        image.save(encoded := io.BytesIO(), "WEBP", quality=quality, method=6)
        if encoded.tell() < HEAVIEST:
            break
    write_bytes(path, encoded.getvalue())


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    return next((line.split(": ")[1] for line in text.splitlines() if "model name" in line), platform.processor())


if __name__ == "__main__":
    try:
        main()
    except GanzooError as error:
        tell(f"Error: {error}")
        sys.exit(error.exit_code)
