"""What is known about a trained model, as facts and as the model card that goes with it."""

import json
import re
import tomllib
from dataclasses import dataclass
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

from safetensors import safe_open

from ganzoo import checkpoint
from ganzoo.data.published import find
from ganzoo.registry import registry
from ganzoo.runfolder import RunFolder, number, read_table, table
from ganzoo.text import printable
from ganzoo.translate import locate

GANZOO = """@software{{ganzoo,
  author = {{{{The ganzoo authors}}}},
  title = {{ganzoo: a zoo of adversarial image models behind one engine}},
  year = {{2026}},
  version = {{{version}}},
}}"""
TEXTS = ("imported", "source", "licence")  # what a file of weights may say of itself beside `checkpoint.About`


@dataclass(frozen=True)
class Facts:
    """All that a file of weights and the run folder around it tell. The texts are those of whoever made them."""

    path: Path
    """the file"""
    about: checkpoint.About
    """model, package, recipe, data, images seen, and what was left out"""
    recipe: dict[str, Any]
    """as the file has it"""
    parameters: int
    """numbers in the weights, without averages of them"""
    precision: str
    """the type of most of them, such as "F32" """
    bytes: int
    """of the file"""
    texts: dict[str, str]
    """"imported", "source" and "licence", where the file says where it is from"""
    summary: str
    """what the model does; empty where it is not installed"""
    paper: str
    """as the file names it, or the installed model"""
    metrics: dict[str, dict[str, float]]
    """direction -> name -> value, where they were measured with these weights"""
    samples: Path | None
    """the sample grid of these weights, in the run folder"""


def read(path: Path) -> Facts:
    """What is known about the weights in a run folder, a checkpoint or a file. No network is built.

    Raises GanzooError where they are not ganzoo's.
    """
    path = locate(path)
    run = RunFolder(path) if (path / "checkpoints").is_dir() else None
    file = checkpoint.networks_file(checkpoint.located(path))
    about = checkpoint.read_about(file)
    with safe_open(file, framework="pt") as content:
        slices = [content.get_slice(name) for name in content.keys() if not name.startswith(checkpoint.EMA)]  # noqa: SIM118
        sizes = [(prod(one.get_shape()), one.get_dtype()) for one in slices]
        raw = content.metadata()
    models = registry().matches("model", about.model)
    try:
        recipe, measured = table(tomllib.loads(about.recipe)), json.loads(raw.get("metrics", "{}"))
    except (ValueError, RecursionError) as error:
        raise checkpoint.unsound(file, error) from error
    samples = None
    if run:
        grid, status = run.sample(about.images), read_table(run.status)
        samples = grid if grid in run.sample_grids() else None
        finished = status.get("state") == "finished" and status.get("images") == about.images
        measured = read_table(run.metrics) if finished else {}
    return Facts(
        path=file,
        about=about,
        recipe=recipe,
        parameters=sum(size for size, _ in sizes),
        precision=max(sizes, default=(0, "F32"))[1],
        bytes=file.stat().st_size,
        texts={name: str(raw[name]) for name in TEXTS if raw.get(name)},
        summary=models[0].summary if models else "",
        paper=raw.get("paper") or (models[0].facts.get("paper", "") if models else ""),
        metrics=_metrics(measured),
        samples=samples,
    )


def bibtex(model: str, used: str = "") -> str:
    """BibTeX of the paper of a model and of ganzoo, in the version `used`. Raises GanzooError for an unknown model."""
    entry = registry().find("model", model)
    paper = entry.facts.get("paper") or f"its author, {entry.distribution}, names no paper"
    own = entry.facts.get("bibtex") or f"% {entry.name}: {paper}"
    return f"{own}\n\n{GANZOO.format(version=used or version('ganzoo'))}"


def data_of(facts: Facts) -> tuple[str, str]:
    """The name of the data that the weights were trained on, and what is known about it and its licence."""
    if "imported" in facts.texts:
        return "", ""  # the recipe was made by the import
    source = table(facts.recipe.get("data")).get("source", "")
    name = str(source.get("name", "") if isinstance(source, dict) else source)
    if registry().matches("archive", name):
        return name, find(name).licence
    sources = registry().matches("source", name)
    return name, f"{sources[0].summary.capitalize()}." if sources and sources[0].summary else ""


def markdown(facts: Facts, name: str, samples: str = "", how: str = "") -> str:
    """The model card of a packed file called `name`; `samples`: the address of an image of samples.

    `how`: what the commands call the model, by default the file.
    """
    about, how = facts.about, how or name
    domains, (data, licence) = " and ".join(map(_text, about.spec.domains)), data_of(facts)
    target = about.spec.labels[0] if about.spec.labels else about.spec.domains[-1]
    package = about.distribution if re.fullmatch(r"[\w.-]+", about.distribution) else "the package of the model"
    models = registry().matches("model", about.model)
    parts = [f"# {_text(about.model)}: {domains}"]
    what = f"{_text(facts.summary[:1].upper() + facts.summary[1:])}. " if facts.summary else ""
    known = f", which know the labels {', '.join(map(_text, about.spec.labels))}" if about.spec.labels else ""
    side = f"{about.spec.size} x {about.spec.size}"
    seen = f"Trained with ganzoo on images of {side} pixels{known}"
    seen += f"; {about.images:,} images of each domain were seen."
    if "imported" in facts.texts:
        seen = f"Trained with another program on images of {side} pixels{known}."
    parts.append(f"{what}{seen}")
    if samples:
        parts.append(f"![Test images and what the model makes of them]({samples})")
    steps = [f"pip install ganzoo {package}"]
    if not models or _translates(facts):
        steps += [f"ganzoo translate {how} photo.jpg translated.jpg --to {printable(target)}"]
    else:
        steps += [f"ganzoo generate {how} images"]
    parts += ["## Use", _code("\n".join(steps)), "Or `ganzoo.load(...)` from Python, with the same name."]
    if facts.metrics:
        rows = [(d, metric, f"{value:.4f}") for d, values in facts.metrics.items() for metric, value in values.items()]
        lines = [f"| {' | '.join(map(_text, row))} |" for row in rows]
        head = "On the test images; those that end in `_identity` are of the input itself as output."
        parts += ["## Metrics", head, "\n".join(["| direction | metric | value |", "| --- | --- | --- |", *lines])]
    parts += ["## Data and licence", f"Data: {_text(data) or 'not named'}. {_text(licence)}".rstrip()]
    parts += [f"{name.capitalize()}: {_text(value)}" for name, value in facts.texts.items()]
    if models:
        parts += ["## Paper", _text(facts.paper) or "None is named.", _code(bibtex(models[0].qualified))]
    parts += ["## Weights", weights_of(facts), "## Recipe", _code(about.recipe)]
    return "\n\n".join(parts) + "\n"


def front_matter(facts: Facts, licence: str) -> str:
    """What the Hugging Face hub reads at the top of a model card, as YAML."""
    task = "image-to-image" if _translates(facts) else "unconditional-image-generation"
    table = {"license": licence, "library_name": "ganzoo", "pipeline_tag": task, "tags": ["ganzoo", task]}
    return "".join(["---\n", *(f"{key}: {json.dumps(value)}\n" for key, value in table.items()), "---\n"])


def weights_of(facts: Facts) -> str:
    """A sentence on what the file holds."""
    said = f"{facts.parameters:,} numbers ({_text(facts.precision)}), {facts.bytes / 1e6:.1f} MB, no code."
    if facts.about.left_out:
        said += f" Left out, as translating needs none of it: {', '.join(map(_text, facts.about.left_out))}."
    return said


def _translates(facts: Facts) -> bool:
    from ganzoo.trainer import Trainer

    return registry().load("model", facts.about.model).translate is not Trainer.translate


def _metrics(found: Any) -> dict[str, dict[str, float]]:
    """What can be shown of it: whoever wrote it may have written anything."""
    return {
        direction: {name: value for name, value in table(values).items() if number(value) == value}
        for direction, values in table(found).items()
    }


def _text(value: object) -> str:
    """As Markdown that only says it."""
    return re.sub(r"([\\`*_{}\[\]<>#|!~&])", r"\\\1", printable(str(value)))


def _code(text: str) -> str:
    """As an indented block, which no text in it can end."""
    return "\n".join(f"    {line}".rstrip() for line in printable(text, keep="\n").strip().splitlines())
