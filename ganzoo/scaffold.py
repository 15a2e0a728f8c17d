"""New plugins and new recipes, written from templates that the tests install and run."""

import keyword
import re
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import tomlkit
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import PydanticUserError
from pydantic.json_schema import models_json_schema

from ganzoo import API, __version__, registry
from ganzoo.errors import GanzooError
from ganzoo.files import refuse_existing, write_text
from ganzoo.options import DataOptions, TrainOptions

LONGEST = 50  # letters of a plugin's name


def write_plugin(name: str, kind: str, out: Path, licence: str = "MIT") -> list[Path]:
    """A publishable package `ganzoo-NAME` in the folder `out`; returns its files. Raises GanzooError."""
    package, title = "ganzoo_" + name.replace("-", "_"), "".join(word.capitalize() for word in name.split("-"))
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > LONGEST or keyword.iskeyword(title):
        raise GanzooError(
            f'"{name}" cannot name a package: use up to {LONGEST} small letters, digits and hyphens, such as '
            "sketch-gan, and no word of Python's."
        )
    refuse_existing(out)
    facts = {
        "name": name,
        "package": package,
        "title": title,
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
        f"{package}/recipes/{name}.toml": "recipe.toml",
        f"tests/test_{package.removeprefix('ganzoo_')}.py": "test_model.py",
    }
    environment = Environment(
        loader=PackageLoader("ganzoo", "template"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    for target, template in files.items():
        write_text(out / target, environment.get_template(f"{template}.j2").render(facts))
    return [out / target for target in files]


def recipe_text(model: str) -> str:
    """A recipe for an installed model: its published setting, and every option with its default and what it means."""
    entry = registry.registry().find("model", model)
    trainer = registry.registry().load("model", model)
    data = {"source": "folders", "root": "images", "size": 256, "batch": 1}
    settings: dict[str, dict[str, Any]] = {"data": data, "options": {}, "train": {"images": 200_000}}
    for key, value in trainer.recipe_defaults.items():
        table, _, name = key.partition(".")
        settings[table][name] = value
    lines = [f"# {entry.summary}.        ganzoo run {entry.name}.toml", f"model = {_toml(entry.name)}"]
    lines += ["", "[data]", *(f"{name} = {_toml(value)}" for name, value in settings["data"].items()), "", "[options]"]
    for name, field in trainer.Config.model_json_schema()["properties"].items():
        lines += [f"# {line}" for line in field.get("description", "").splitlines()]
        default = settings["options"].get(name, field.get("default"))
        lines.append(f"{name} = {_toml(default)}" if default is not None else f"# {name} =")
    lines += ["", "[train]", *(f"{name} = {_toml(value)}" for name, value in settings["train"].items()), ""]
    return "\n".join(lines)


def schema() -> dict[str, Any]:
    """The JSON Schema of a recipe, for editors, with the options of every model that is installed and loads."""
    found = registry.registry()
    configs: dict[str, Any] = {}
    for name in found.names("model"):
        with suppress(GanzooError, PydanticUserError):  # `ganzoo doctor` tells about it
            config = found.load("model", name).Config
            config.model_json_schema()
            configs[name] = config
    classes = (DataOptions, TrainOptions, *configs.values())
    tables, definitions = models_json_schema([(cls, "validation") for cls in classes])
    data, train, *options = (tables[cls, "validation"] for cls in classes)
    choices = [
        {"if": {"properties": {"model": {"const": name}}}, "then": {"properties": {"options": table}}}
        for name, table in zip(configs, options, strict=True)
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ganzoo recipe",
        "type": "object",
        "required": ["model", "data", "train"],
        "additionalProperties": False,
        "properties": {
            "model": {"enum": found.names("model"), "description": "the model to train"},
            "preset": {"type": "string", "description": "options where paper and code differ"},
            "data": data,
            "train": train,
            "options": {"type": "object", "description": "the model's own options"},
            "quick": {"type": "object", "description": "changes that --quick makes"},
        },
        "allOf": choices,
        **definitions,
    }


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        table.update(value)
        return table.as_string()
    return tomlkit.item(value).as_string()
