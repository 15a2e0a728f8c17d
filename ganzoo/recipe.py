"""A TOML file becomes a frozen, validated Recipe; every mistake is reported at once, in the recipe's own words."""

import os
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import ValidationError

from ganzoo.errors import GanzooError
from ganzoo.options import PLACES, DataOptions, Options, TrainOptions, sentences
from ganzoo.registry import did_you_mean, registry
from ganzoo.shipped import files, shipped
from ganzoo.text import printable

TABLES = ("data", "options", "train")
KEYS = ("model", "preset", *TABLES, "quick")
SHOWN = 50  # mistakes
Change = tuple[str, tuple[str, ...], Any]  # where it comes from, dotted key, value
Look = Callable[[DataOptions, str], None]
"""opens the data of a kind, and raises GanzooError where something is wrong with it"""


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
        return "".join(f"# {printable(comment)}\n" for comment in comments) + tomlkit.dumps(self.tables())


def read(
    path: str | Path,
    quick: bool = False,
    changes: Iterable[str] = (),
    preset: str = "",
    data: str | Path = "",
    look: Look | None = None,
) -> Recipe:
    """The recipe in a file, with its `[quick]` table applied or not, and `key=value` changes on top.

    Where there is no such file: the recipe of that name that comes with a package, or else the published settings of
    the model of that name. `preset` goes before what the recipe itself says, wherever the presets of its model differ;
    the folder `data` before all that it says of where images come from.

    Raises GanzooError naming every mistake with its line, before data or device are touched; with `look` also what is
    wrong with the images.
    """
    how: dict[str, Any] = {"changes": changes, "preset": preset, "data": data, "look": look, "to_train": True}
    file = find(Path(path))
    if file is None:
        return _of_model(str(path), quick, how)
    try:
        text = file.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except FileNotFoundError:
        known = [*map(str, sorted(file.parent.glob("*.toml"))), *files(), *registry().names("model")]
        near = did_you_mean(str(path), known)
        raise GanzooError(
            f"There is no recipe {path}.{near} `ganzoo recipes` shows those that are installed."
        ) from None
    except UnicodeDecodeError as error:
        raise GanzooError(f"{file} is not UTF-8 text ({error}). Save it as UTF-8.") from None
    except OSError as error:
        raise GanzooError(f"{file} cannot be read ({error.strerror}).") from None
    document = read_toml(text, f"{file} is not valid TOML")
    return parse(document, text=text, path=file, quick=quick, **how)


def find(path: Path) -> Path | None:
    """The recipe file that is meant: this one or, where there is none, the installed one of that name.

    None where it is the name of a model.
    """
    if os.path.isfile(path):  # that of Path raises where nobody may look
        return path
    if found := files().get(path.as_posix()):
        return found
    return None if registry().matches("model", path.as_posix()) else path


def _of_model(name: str, quick: bool, how: dict[str, Any]) -> Recipe:
    """A recipe that leaves everything to the model but where the images are."""
    theirs = [recipe.name for recipe in shipped() if recipe.model == name]
    instead = f", or take one of its recipes: {', '.join(theirs)}" if theirs else ""
    if quick:
        raise GanzooError(f'"{name}" is a model, and only a recipe has settings for --quick. Leave it out{instead}.')
    if not how["data"] and not any(change.startswith("data.source") for change in how["changes"]):
        raise GanzooError(f'"{name}" is a model. Say what to train it on with --data FOLDER{instead}.')
    return parse({"model": name}, **how)


def read_toml(text: str, problem: str) -> dict[str, Any]:
    """The document in a text; GanzooError, a sentence that begins with the problem, where there is none."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise GanzooError(f"{problem}: it is nested too deeply.") from None
    except ValueError as error:  # also of a number with thousands of digits
        raise GanzooError(f"{problem}: {error}.") from None


def parse(
    document: dict[str, Any],
    text: str = "",
    path: Path | None = None,
    quick: bool = False,
    changes: Iterable[str] = (),
    preset: str = "",
    data: str | Path = "",
    look: Look | None = None,
    to_train: bool = False,
) -> Recipe:
    """The same from a recipe already read, e.g. a dict written in Python; where nothing is to be trained, the data
    source need not be installed."""
    report = _Mistakes(path, text, to_train)
    document, quick_table = dict(document), document.get("quick", {})
    if not isinstance(document.pop("quick", {}), dict):
        report.add(("quick",), "should be a table, written [quick]")
        quick_table = {}
    elif quick and not quick_table:
        raise GanzooError(f"{path or 'The recipe'} has no [quick] table, so it cannot be run with --quick.")
    quickly: list[Change] = [("[quick]", *leaf) for leaf in _leaves(quick_table)]
    asked: list[Change] = [("--set", *_parse_change(change)) for change in changes]
    if data:
        document["data"] = _without_places(document.get("data", {}))
        quickly = [change for change in quickly if change[1][:2] not in [("data", key) for key in PLACES]]
        asked = [("--data", ("data", "source"), "folders"), ("--data", ("data", "root"), str(data)), *asked]
    asked += [("--preset", ("preset",), preset)] if preset else []
    if quickly and not quick:  # looked at all the same
        aside = _Mistakes(path, text, to_train)
        _resolve(document, quickly, aside)
        report.found += [mistake for mistake in aside.found if mistake[0].startswith("[quick]")]
    fields = _resolve(document, [*(quickly if quick else ()), *asked], report, look)
    report.raise_if_any()
    return Recipe(**fields, path=path, quick=quick)


def _resolve(
    given: dict[str, Any], changes: list[Change], report: "_Mistakes", look: Look | None = None
) -> dict[str, Any]:
    """The fields of a Recipe; what is wrong is added to the report, and then they are of no use."""
    document = {k: dict(v) if isinstance(v, dict) else v for k, v in given.items()}
    for origin, keys, value in changes:
        _put(document, keys, value, origin, report)
    for key in document:
        if key not in ("model", "preset", *TABLES):
            report.add((key,), f"there is no such key.{did_you_mean(key, [k for k in KEYS if k != key])}")
    trainer = _trainer(document, report)
    if trainer:
        if report.origin.get(("preset",)) == "--preset":
            _clear_for_preset(document, trainer, report)
        _fill_in(document, trainer, report)
    classes = {"data": DataOptions, "options": trainer and trainer.Config, "train": TrainOptions}
    tables: Any = {table: report.validate(table, cls, document.get(table, {})) for table, cls in classes.items() if cls}
    if look and trainer:
        data = tables["data"] or _places(document.get("data"))
        if data:
            _look(
                data,
                trainer.choose_data_kind(tables["options"]) if tables["options"] else trainer.data_kind,
                look,
                report,
            )
    return {"model": document.get("model"), "trainer": trainer, "preset": document.get("preset", ""), **tables}


def _without_places(table: Any) -> Any:
    """`[data]` without what only makes sense for the images that it names; your own folders are told of as before."""
    if not isinstance(table, dict) or table.get("source") == "folders":
        return table
    return {key: value for key, value in table.items() if key not in PLACES}


def _places(table: Any) -> DataOptions | None:
    """What a wrong `[data]` says of where its images are, if that at least can be told."""
    try:
        return DataOptions.model_validate({key: value for key, value in dict(table).items() if key in PLACES})
    except (TypeError, ValueError):
        return None


def _look(data: DataOptions, kind: str, look: Look, report: "_Mistakes") -> None:
    """What is wrong with the images stands among the other mistakes."""
    try:
        look(data, kind)
    except GanzooError as error:
        key, _, message = str(error).partition(": ")
        of_a_key = key.startswith("data.") and " " not in key
        report.add(tuple(key.split(".")) if of_a_key else ("data", "root"), message if of_a_key else str(error))


class _Mistakes:
    """Collects what is wrong, each with the line it stands on."""

    def __init__(self, path: Path | None, text: str, to_train: bool) -> None:
        self.path, self.lines, self.to_train = path, _lines(text), to_train
        self.found: list[tuple[str, str]] = []
        self.origin: dict[tuple[str, ...], str] = {}  # keys that did not come from the recipe's own tables

    def add(self, keys: tuple[str, ...], message: str) -> None:
        place = self.origin.get(keys) or self.lines.get(keys) or self.lines.get(keys[:1], "")
        self.found.append((f"{place} {'.'.join(keys)}".lstrip(), message))

    def validate(self, table: str, kind: type[Options], given: Any) -> Options | None:
        if not isinstance(given, dict):
            self.add((table,), f"should be a table, written [{table}]")
            return None
        try:
            return kind.model_validate(given, context={"to_train": self.to_train})
        except ValidationError as error:
            for key, mistake in sentences(error, kind):
                self.add((table, key) if key else (table,), mistake)
            return None

    def raise_if_any(self) -> None:
        if self.found:
            many = "a mistake" if len(self.found) == 1 else f"{len(self.found)} mistakes"
            lines = [f"  {place}: {message}".replace("\n", "\n    ") for place, message in dict.fromkeys(self.found)]
            more = [f"  and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
            raise GanzooError("\n".join([f"{self.path or 'The recipe'} has {many}:", *lines[:SHOWN], *more]))


def _trainer(document: dict[str, Any], report: _Mistakes) -> Any:
    model = document.get("model")
    try:
        if isinstance(model, str):
            return registry().load("model", model)
        problem = f"is missing; it names the model, e.g. one of {', '.join(registry().names('model'))}"
    except GanzooError as error:
        problem = str(error)
    report.add(("model",), problem)


def _clear_for_preset(document: dict[str, Any], trainer: Any, report: _Mistakes) -> None:
    """Takes out of the recipe's own tables what the model's presets differ in, so that this one or a default says it.

    What has no default stays, such as the length of the training.
    """
    classes = {"data": DataOptions, "options": trainer.Config, "train": TrainOptions}
    for key in {key for settings in trainer.presets.values() for key in settings}:
        table, _, name = key.partition(".")
        chosen = trainer.presets.get(document["preset"], {})
        if key in chosen or not classes[table].model_fields[name].is_required():
            given = document.get(table)
            if isinstance(given, dict) and (table, name) not in report.origin:
                document[table] = {k: v for k, v in given.items() if k != name}


def _fill_in(document: dict[str, Any], trainer: Any, report: _Mistakes) -> None:
    """What the recipe leaves open is the preset's and then the model's published setting."""
    preset, known = document.get("preset", ""), list(trainer.presets)
    if not isinstance(preset, str):
        report.add(("preset",), f"should be text, the name of one of: {', '.join(known)}")
        return
    if preset and preset not in known:
        near = did_you_mean(preset, known)
        report.add(("preset",), f'there is no preset "{preset}".{near} There are: {", ".join(known) or "none"}')
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
    if len(keys) == 1 and keys != ("quick",):
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
    except (RecursionError, ValueError) as error:
        raise GanzooError(f"--set {key} has no value that can be read: {error}.") from None
    return tuple(key.strip().split(".")), parsed


def _lines(text: str) -> dict[tuple[str, ...], str]:
    """The dotted keys of a recipe, and its tables, with the line that sets them, such as "line 7"."""
    table: tuple[str, ...] = ()
    found: dict[tuple[str, ...], str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        key, equals, _ = line.partition("=")
        if line.startswith("["):
            here = table = _keys(line[1:].partition("]")[0])
        elif equals:
            here = (*table, *_keys(key))
        else:
            continue
        found.setdefault(here, f"line {number}")
    return found


def _keys(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip(" \"'") for part in dotted.split("."))
