"""A TOML file becomes a frozen, validated Recipe; every mistake is reported at once, in the recipe's own words."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import ValidationError

from ganzoo.errors import GanzooError
from ganzoo.options import DataOptions, Options, TrainOptions, sentences
from ganzoo.registry import did_you_mean, registry

TABLES = ("data", "options", "train")
KEYS = ("model", "preset", *TABLES, "quick")


@dataclass(frozen=True)
class Recipe:
    """What to train, on what, and how; complete with every default."""

    model: str
    trainer: Any  # the model's Trainer subclass
    data: DataOptions
    options: Options
    train: TrainOptions
    preset: str = ""
    path: Path | None = None
    quick: bool = False

    @property
    def name(self) -> str:
        """What its run folder is called."""
        return (self.path.stem if self.path else self.model) + ("-quick" if self.quick else "")

    @property
    def data_kind(self) -> str:
        """The registered kind of data that the model needs."""
        return self.trainer.choose_data_kind(self.options)

    def tables(self) -> dict[str, Any]:
        """Everything a recipe file would say, as plain values."""
        head = {"model": self.model} | ({"preset": self.preset} if self.preset else {})
        return head | {table: getattr(self, table).model_dump(mode="json", exclude_none=True) for table in TABLES}

    def to_toml(self, *comments: str) -> str:
        """The resolved recipe, with every default, as a recipe file."""
        return "".join(f"# {comment}\n" for comment in comments) + tomlkit.dumps(self.tables())


def read(path: Path, quick: bool = False, changes: Iterable[str] = ()) -> Recipe:
    """The recipe in a file, with its `[quick]` table applied or not, and `key=value` changes on top.

    Raises GanzooError naming every mistake with its line, before data or device are touched.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except FileNotFoundError:
        recipes = [str(file) for folder in (path.parent, Path("recipes")) for file in sorted(folder.glob("*.toml"))]
        raise GanzooError(f"There is no recipe {path}.{did_you_mean(str(path), recipes)}") from None
    except tomllib.TOMLDecodeError as error:
        raise GanzooError(f"{path} is not valid TOML: {error}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise GanzooError(f"{path} cannot be read: {error}.") from None
    return parse(document, text=text, path=path, quick=quick, changes=changes)


def parse(
    document: dict[str, Any], text: str = "", path: Path | None = None, quick: bool = False, changes: Iterable[str] = ()
) -> Recipe:
    """The same from a recipe already read, e.g. a dict written in Python."""
    document = {k: dict(v) if isinstance(v, dict) else v for k, v in document.items()}
    report = _Mistakes(path, text)
    quick_table = document.pop("quick", {})
    if quick and not quick_table:
        raise GanzooError(f"{path or 'The recipe'} has no [quick] table, so it cannot be run with --quick.")
    for keys, value in _leaves(quick_table) if quick else ():
        _put(document, keys, value, "[quick]", report)
    for change in changes:
        keys, value = _parse_change(change)
        _put(document, keys, value, "--set", report)

    for key in document:
        if key not in KEYS:
            report.add((key,), f"there is no such key.{did_you_mean(key, list(KEYS))}")
    trainer = _trainer(document, report)
    if trainer:
        _fill_in(document, trainer, report)
    classes = {"data": DataOptions, "options": trainer and trainer.Config, "train": TrainOptions}
    tables: Any = {table: report.validate(table, cls, document.get(table, {})) for table, cls in classes.items() if cls}
    report.raise_if_any()
    return Recipe(document["model"], trainer, preset=document.get("preset", ""), path=path, quick=quick, **tables)


class _Mistakes:
    """Collects what is wrong, each with the line it stands on."""

    def __init__(self, path: Path | None, text: str) -> None:
        self.path, self.text = path, text
        self.found: list[tuple[str, str]] = []
        self.origin: dict[tuple[str, ...], str] = {}  # keys that did not come from the recipe's own tables

    def add(self, keys: tuple[str, ...], message: str) -> None:
        place = self.origin.get(keys) or _line(self.text, keys)
        self.found.append((f"{place} {'.'.join(keys)}".lstrip(), message))

    def validate(self, table: str, kind: type[Options], given: Any) -> Options | None:
        if not isinstance(given, dict):
            self.add((table,), f"should be a table, written [{table}]")
            return None
        try:
            return kind(**given)
        except ValidationError as error:
            for key, mistake in sentences(error, kind):
                self.add((table, key) if key else (table,), mistake)
            return None

    def raise_if_any(self) -> None:
        if self.found:
            many = "a mistake" if len(self.found) == 1 else f"{len(self.found)} mistakes"
            lines = "\n".join(f"  {place}: {message}" for place, message in dict.fromkeys(self.found))
            raise GanzooError(f"{self.path or 'The recipe'} has {many}:\n{lines}")


def _trainer(document: dict[str, Any], report: _Mistakes) -> Any:
    model = document.get("model")
    try:
        if isinstance(model, str):
            return registry().load("model", model)
        problem = f"is missing; it names the model, e.g. one of {', '.join(registry().names('model'))}"
    except GanzooError as error:
        problem = str(error)
    report.add(("model",), problem)


def _fill_in(document: dict[str, Any], trainer: Any, report: _Mistakes) -> None:
    """What the recipe leaves open is the preset's and then the model's published setting."""
    preset = document.get("preset", "")
    if preset and preset not in trainer.presets:
        known = list(trainer.presets)
        near = did_you_mean(preset, known)
        report.add(("preset",), f'there is no preset "{preset}".{near} There are: {", ".join(known)}')
    layers = ((f'preset "{preset}"', trainer.presets.get(preset, {})), ("recipe_defaults", trainer.recipe_defaults))
    for origin, settings in layers:
        for key, value in settings.items():
            table, _, name = key.partition(".")
            given = document.setdefault(table, {})
            if isinstance(given, dict) and name not in given:
                _put(document, (table, name), value, origin, report)


def _leaves(table: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """`"data.source" = x`, `data.source = x` and `[quick.data] source = x` alike as (("data", "source"), x)."""
    for key, value in table.items():
        keys = (*above, *key.split("."))
        if isinstance(value, dict) and len(keys) < 2:
            yield from _leaves(value, keys)
        else:
            yield keys, value


def _put(document: dict[str, Any], keys: tuple[str, ...], value: Any, origin: str, report: _Mistakes) -> None:
    report.origin[keys] = report.origin[keys[:2]] = origin
    table = document.setdefault(keys[0], {}) if keys[0] in TABLES else None
    if len(keys) == 1:
        document[keys[0]] = value
    elif len(keys) == 2 and isinstance(table, dict):
        table[keys[1]] = value
    elif len(keys) == 3 and isinstance(table, dict) and isinstance(part := table.get(keys[1]), str | dict):
        table[keys[1]] = ({"name": part} if isinstance(part, str) else part) | {keys[2]: value}
    else:
        near = did_you_mean(keys[0], list(TABLES)) if keys[0] not in TABLES else ""
        how = "Write TABLE.KEY, or TABLE.KEY.OPTION for an option of a part that the recipe names, with a table of"
        report.add(keys, f"there is no such key.{near} {how}: {', '.join(TABLES)}")


def _parse_change(change: str) -> tuple[tuple[str, ...], Any]:
    key, equals, value = change.partition("=")
    if not equals or not key.strip():
        raise GanzooError(f'--set {change} should be KEY=VALUE, such as --set data.size=128 or --set model="cyclegan".')
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value  # a bare word: text
    return tuple(key.strip().split(".")), parsed


def _line(text: str, keys: tuple[str, ...]) -> str:
    """The line that sets these keys, such as "line 7", else that of their table's header, else nothing."""
    table: tuple[str, ...] = ()
    header = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if match := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
            here = table = _keys(match[1])
            header = f"line {number}" if table == keys[:1] else header
        elif match := re.match(r"\s*([\w.\-\"' ]+?)\s*=", line):
            here = (*table, *_keys(match[1]))
        if match and here == keys:
            return f"line {number}"
    return header


def _keys(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip(" \"'") for part in dotted.split("."))
