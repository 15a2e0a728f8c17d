"""Writes docs/results.md: every recipe's quick run with its metrics, time and a row of images; and the README's grid.

    python docs/results.py [RECIPE ...]     trains what has no finished run yet in runs/, then writes the page

Hours on two cores for all of them; a run that is already finished in runs/ is taken as it is.
"""

import json
import os
import platform
import subprocess
import sys
import tomllib
from pathlib import Path

from PIL import Image

from ganzoo import grid
from ganzoo.runfolder import RunFolder, read_lines, read_table

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PICTURES = DOCS / "images" / "results"
WIDEST = 1100  # pixels of a row of images


def main() -> None:
    chosen = [Path(name) for name in sys.argv[1:]] or sorted((ROOT / "recipes").glob("*.toml"))
    for recipe in chosen:
        run = RunFolder(ROOT / "runs" / f"{recipe.stem}-quick")
        if "quick" in tomllib.loads(recipe.read_text()) and read_table(run.status).get("state") != "finished":
            command = [Path(sys.executable).with_name("ganzoo"), "run", recipe, "--quick", "--resume"]
            subprocess.run(command, cwd=ROOT, check=False)
    lines = [
        "# Results",
        "",
        f"Every recipe's `--quick` run. Hardware: {_processor()}, {os.cpu_count()} cores, no GPU. Written by "
        "`python docs/results.py`, which trains what is missing.",
        "",
        "L1 is the error to the ground truth beside that of the identity baseline, images taken as 0 to 1; below 1",
        "the ratio is better than leaving the image alone. Minutes are of the training alone, on the threads shown;",
        "another training may have run on the other core. `ganzoo bench RECIPE --quick` tells the speed of idle cores.",
        "Quick runs are short, so their settings are not those of the papers: what they change is below each image.",
        "[Published settings](reproduce.md) tells which paper's setting a recipe is.",
        "",
        "| model | command | metrics | images | minutes | threads |",
        "| --- | --- | --- | ---: | ---: | ---: |",
    ]
    rows = []
    for recipe in sorted((ROOT / "recipes").glob("*.toml")):
        run = RunFolder(ROOT / "runs" / f"{recipe.stem}-quick")
        if read_table(run.status).get("state") != "finished":
            continue
        model, last = read_table(run.recipe)["model"], read_lines(run.log)[-1]
        metrics = read_table(run.metrics)
        styled = any("l1_diversity" in values for values in metrics.values())
        metrics = faces(run) if styled else headline(metrics)
        command = f"`ganzoo run recipes/{recipe.name} --quick`"
        threads = read_table(run.env)["threads"]
        cells = (model, command, metrics, f"{last['images']:,}", f"{last['seconds'] / 60:.1f}", str(threads))
        lines.append(f"| {' | '.join(cells)} |")
        image = _row(run, recipe.stem)
        if recipe.stem == "cyclegan_monet":
            _last_grid(run).save(DOCS / "images" / "quick.webp", quality=90)  # the README's
        rows += [f"## {recipe.stem}", "", f"![Test images of {recipe.stem}]({image.relative_to(DOCS)})", ""]
        rows += [f"<!-- generated: {recipe.stem} -->", "<!-- /generated -->", ""]  # by docs/generate.py
    (DOCS / "results.md").write_text("\n".join([*lines, "", *rows]).rstrip() + "\n", encoding="utf-8")


def headline(metrics: dict[str, dict[str, float]]) -> str:
    """The metrics that say whether a model learned, in words."""
    if "mean" in metrics:  # labels: shares of images, the mean over all changes
        names = ("target_accuracy", "preservation", "target_accuracy_gt", "preservation_gt")
        return ", ".join(f"{name} {metrics['mean'][name]:.2f}" for name in names if name in metrics["mean"])
    parts = []
    for direction, values in metrics.items():
        if "l1_identity" in values:
            ratio = values["l1"] / values["l1_identity"]
            text = f"{direction} L1 {values['l1']:.3f} of {values['l1_identity']:.3f}: {ratio:.2f}"
            parts.append((ratio, text))
        else:
            parts.append((0.0, f"{direction} " + ", ".join(f"{k} {v:.3g}" for k, v in values.items())))
    if len(parts) > 4:  # many directions: the best and the worst
        parts = [min(parts), max(parts)]
    return "; ".join(text for _, text in parts)


def faces(run: RunFolder) -> str:
    """What translations of faces keep and take, of a model whose many answers no single ground truth fits."""
    command = [Path(sys.executable).with_name("ganzoo"), "evaluate-faces", run.path, "--json"]
    mean = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)["mean"]
    return "`ganzoo evaluate-faces`, mean: " + ", ".join(f"{name} {value:.2f}" for name, value in mean.items())


def _row(run: RunFolder, name: str) -> Path:
    """The first row of the last sample grid."""
    page, size = _last_grid(run), read_table(run.recipe)["data"]["size"]
    high = round(size * grid.enlargement(size))  # the images of all quick runs are squares
    titles = grid.HEADER + (page.height - 2 * grid.HEADER) % (high + grid.GAP)  # of one line or more
    row = page.crop((0, grid.HEADER, page.width, grid.HEADER + titles + high + grid.GAP))
    if row.width > WIDEST:
        row = row.resize((WIDEST, round(row.height * WIDEST / row.width)), Image.Resampling.LANCZOS)
    PICTURES.mkdir(parents=True, exist_ok=True)
    row.save(PICTURES / f"{name}.webp", quality=90)
    return PICTURES / f"{name}.webp"


def _last_grid(run: RunFolder) -> Image.Image:
    return Image.open(run.sample_grids()[-1])


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
