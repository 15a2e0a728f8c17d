"""New plugins and new recipes, written from templates that the tests install and run."""

import re
from datetime import date
from pathlib import Path
from typing import Any

import tomlkit
from jinja2 import Environment, PackageLoader, StrictUndefined

from ganzoo import API, __version__, registry
from ganzoo.errors import GanzooError
from ganzoo.files import refuse_existing, write_text


def write_plugin(name: str, kind: str, out: Path, licence: str = "MIT") -> list[Path]:
    """A publishable package `ganzoo-NAME` in the folder `out`; returns its files. Raises GanzooError."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise GanzooError(f'"{name}" cannot name a package: use small letters, digits and hyphens, such as sketch-gan.')
    refuse_existing(out)
    package = "ganzoo_" + name.replace("-", "_")
    facts = {
        "name": name,
        "package": package,
        "title": "".join(word.capitalize() for word in name.split("-")),
        "kind": kind,
        "licence": licence,
        "year": date.today().year,
        "version": ".".join(__version__.split(".")[:2]),
        "api": API,
    }
    files = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        "LICENSE": f"licences/{licence}",
        f"{package}/__init__.py": "__init__.py",
        f"{package}/model.py": f"{kind}.py",
        f"recipes/{name}.toml": "recipe.toml",
        f"tests/test_{package.removeprefix('ganzoo_')}.py": "test_model.py",
    }
    environment = Environment(
        loader=PackageLoader("ganzoo", "template"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    written = []
    for target, template in files.items():
        path = out / target
        write_text(path, environment.get_template(f"{template}.j2").render(facts))
        written.append(path)
    return written


def recipe_text(model: str) -> str:
    """A recipe for an installed model: its published setting, and every option with its default and what it means."""
    entry = registry.registry().find("model", model)
    trainer = registry.registry().load("model", model)
    data = {"source": "folders", "root": "images", "size": 256, "batch": 1}
    settings: dict[str, dict[str, Any]] = {"data": data, "options": {}, "train": {"images": 200_000}}
    for key, value in trainer.recipe_defaults.items():
        table, _, name = key.partition(".")
        settings[table][name] = value
    lines = [f"# {entry.summary}.        ganzoo run recipes/{entry.name}.toml", f"model = {_toml(entry.name)}"]
    lines += ["", "[data]", *(f"{name} = {_toml(value)}" for name, value in settings["data"].items()), "", "[options]"]
    for name, field in trainer.Config.model_json_schema()["properties"].items():
        lines += [f"# {line}" for line in field.get("description", "").splitlines()]
        default = settings["options"].get(name, field.get("default"))
        lines.append(f"{name} = {_toml(default)}" if default is not None else f"# {name} =")
    lines += ["", "[train]", *(f"{name} = {_toml(value)}" for name, value in settings["train"].items()), ""]
    return "\n".join(lines)


def schema() -> dict[str, Any]:
    """The JSON Schema of a recipe, for editors, with the options of every model that is installed and loads."""
    from ganzoo.options import DataOptions, TrainOptions

    found = registry.registry()
    definitions: dict[str, Any] = {}
    choices = []
    for name in found.names("model"):
        try:
            config = found.load("model", name).Config
        except GanzooError:
            continue  # `ganzoo doctor` tells about it
        definitions[name] = _without_definitions(config.model_json_schema(), definitions)
        then = {"properties": {"options": {"$ref": f"#/$defs/{name}"}}}
        choices.append({"if": {"properties": {"model": {"const": name}}}, "then": then})
    tables: dict[str, Any] = {"data": DataOptions, "train": TrainOptions}
    properties: dict[str, Any] = {
        "model": {"enum": found.names("model"), "description": "the model to train"},
        "preset": {"type": "string", "description": "options where paper and code differ"},
        **{key: _without_definitions(table.model_json_schema(), definitions) for key, table in tables.items()},
        "options": {"type": "object", "description": "the model's own options"},
        "quick": {"type": "object", "description": "changes that --quick makes"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ganzoo recipe",
        "type": "object",
        "required": ["model", "data", "train"],
        "additionalProperties": False,
        "properties": properties,
        "allOf": choices,
        "$defs": definitions,
    }


def _without_definitions(table: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a table, its own definitions moved to those of the whole."""
    definitions.update(table.pop("$defs", {}))
    return table


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        table.update(value)
        return table.as_string()
    return tomlkit.item(value).as_string()
