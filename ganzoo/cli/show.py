"""ganzoo show"""

import json
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Any

import click

from ganzoo.cli.output import print_table, say, say_json
from ganzoo.registry import TYPES


@click.command("show")
@click.argument("name", metavar="NAME|RUN")
@click.option("--type", "type_", type=click.Choice(list(TYPES)), help="Of several things of that name.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(name: str, type_: str | None, as_json: bool) -> None:
    """Show a model or a part by its NAME: what it is, where it comes from, and every option with type and meaning.

    Or what is known about a trained RUN: a run folder, a checkpoint, or a file of weights.
    """
    from ganzoo import hub
    from ganzoo.registry import registry

    on_hub = hub.is_name(name) and not any(registry().matches(kind, name) for kind in TYPES)
    if type_ is None and (on_hub or is_trained(Path(name))):
        show_trained(hub.pull(name) if on_hub else Path(name), as_json)
        return
    facts = describe(name, type_)
    if as_json:
        say_json(facts)
        return
    say(f" {facts['summary']}", label=facts["name"], color="cyan")
    for key in ("type", "data_kind", "data_kinds", "model", "paper", "licence", "source", "file", "package"):
        if facts.get(key):
            say(f"  {key:10} {facts[key]}")
    for name, changes in facts.get("presets", {}).items():
        text = ", ".join(f"{k} = {json.dumps(v)}" for k, v in changes.items()) or "the defaults"
        say(f"  preset     {name}: {text}")
    if facts["options"]:
        say()
        columns = ("name", "type", "default", "meaning")
        rows = [o | {"default": "" if o["default"] is None else json.dumps(o["default"])} for o in facts["options"]]
        print_table(columns, [[row[column] for column in columns] for row in rows])
    for other in facts["types"]:
        if other != facts["type"]:
            say(f"\nThere is a {other} of that name, too: ganzoo show {facts['name']} --type {quote(other)}")


def is_trained(path: Path) -> bool:
    """Whether it is a run folder, a checkpoint, or a file, rather than a name of what is installed."""
    from ganzoo.checkpoint import NETWORKS
    from ganzoo.runfolder import RunFolder

    return path.is_file() or (path / NETWORKS).is_file() or RunFolder(path).checkpoints_folder.is_dir()


def show_trained(path: Path, as_json: bool) -> None:
    """Shows what is known about weights; where they cannot be used here, why not."""
    facts = trained(path)
    if as_json:
        say_json(facts)
        return
    say(f" {facts['summary']}", label=facts["model"], color="cyan")
    for key, value in facts.items():
        if key in ("model", "summary", "metrics") or value in ("", [], {}):
            continue
        if key == "directions":
            value = ", ".join(f"{source} to {target}" for source, target in value)
        elif key == "channels":
            value = ", ".join(f"{domain} {count}" for domain, count in value.items())
        elif isinstance(value, list):
            value = ", ".join(value)
        elif key == "size":
            value = f"{value} x {value} pixels in training"
        elif isinstance(value, int):
            value = f"{value:,}"
        say(f"  {key.replace('_', ' '):11} {value}")
    if facts["metrics"]:
        say()
        rows = [(d, name, f"{value:.4f}") for d, values in facts["metrics"].items() for name, value in values.items()]
        print_table(("direction", "metric", "value"), rows, right=("value",))


def trained(path: Path) -> dict[str, Any]:
    """Everything that `ganzoo show` says of a trained model."""
    from ganzoo import card
    from ganzoo.errors import GanzooError
    from ganzoo.translate import load

    known = card.read(path)
    about, data, problem = known.about, card.data_of(known), ""
    directions: list[tuple[str, str]] = []
    try:
        directions = load(known.path).directions
    except GanzooError as error:
        problem = str(error)
    return {
        "model": about.model,
        "summary": known.summary,
        "file": str(known.path),
        "package": f"{about.distribution} {about.version}",
        "paper": known.paper,
        "domains": list(about.spec.domains),
        "labels": list(about.spec.labels),
        "directions": directions,
        "size": about.spec.size,
        "channels": about.spec.channels,
        "images": about.images,
        "data": " ".join(data).strip(),
        "parameters": known.parameters,
        "precision": known.precision,
        "bytes": known.bytes,
        "left_out": about.left_out,
        "imported": known.texts.get("imported", ""),
        "source": known.texts.get("source", ""),
        "licence": known.texts.get("licence", ""),
        "metrics": known.metrics,
        "problem": problem,
    }


def describe(name: str, type_: str | None = None) -> dict[str, Any]:
    """Everything that `ganzoo show` says of a registered name; without a type, of the first that has it."""
    from ganzoo.errors import GanzooError
    from ganzoo.options import options_of
    from ganzoo.registry import registry

    found = registry()
    types = [t for t in TYPES if found.matches(t, name)]
    try:
        entry = found.find(type_ or (types or ["model"])[0], name)
    except GanzooError as error:
        raise GanzooError(f"{error} `ganzoo list` shows all that there is.") from None
    target = found.load(entry.type, name)
    facts = asdict(entry) | entry.facts | {"package": entry.package, "types": types, "options": []}
    del facts["facts"], facts["target"]
    if entry.type == "model":
        facts |= {"presets": target.presets, "options": table_options(target.Config)}
    elif entry.type == "archive":
        facts["licence"] = target.licence
    elif entry.type == "pretrained model":
        facts |= {
            "licence": target.licence,
            "paper": target.published_in,
            "source": ", ".join(target.urls),
            "file": target.file,
        }
    elif isinstance(target, click.Command):
        facts["options"] = [
            {"name": p.opts[0], "type": p.type.name, "default": None, "meaning": getattr(p, "help", None) or ""}
            for p in target.params
        ]
    elif isinstance(target, type):
        facts["options"] = table_options(options_of(target))
    return facts


def table_options(config: Any) -> list[dict[str, Any]]:
    """The options of a table of a recipe, a class of `Options`."""
    properties = config.model_json_schema().get("properties", {})
    own_first = [name for cls in config.__mro__ for name in vars(cls).get("__annotations__", ()) if name in properties]
    schemas = {name: properties[name] for name in dict.fromkeys([*own_first, *properties])}
    return [
        {"name": n, "type": type_name(s), "default": s.get("default"), "meaning": s.get("description", "")}
        for n, s in schemas.items()
    ]


def type_name(schema: dict[str, Any]) -> str:
    """A JSON Schema type in a reader's words."""
    from ganzoo.options import LARGEST

    if "part" in schema:
        return schema["part"]
    if "enum" in schema:
        return " | ".join(str(one).lower() if isinstance(one, bool) else str(one) for one in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(type_name(s) for s in schema["anyOf"]))
    if "prefixItems" in schema:
        return f"[{', '.join(type_name(s) for s in schema['prefixItems'])}]"
    kind = {"string": "text", "object": "table", "boolean": "true | false", "null": "unset"}.get(schema.get("type", ""))
    bounds = [f">= {schema['minimum']:g}"] if "minimum" in schema else []
    bounds += [f"<= {schema['maximum']:g}"] if schema.get("maximum", LARGEST) < LARGEST else []
    return " ".join([kind or schema.get("type", "any"), *bounds])
