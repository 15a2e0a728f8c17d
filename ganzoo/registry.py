"""Finds plugins, keeps broken ones apart, and imports one registered thing when it is used."""

import difflib
import importlib.util
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import import_module
from importlib.metadata import EntryPoint, distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from ganzoo import API, builtin, hooks
from ganzoo.errors import GanzooError

TYPES = {
    "model": "models",
    "generator": "generators",
    "discriminator": "discriminators",
    "loss": "losses",
    "penalty": "penalties",
    "source": "sources",
    "kind": "kinds",
    "archive": "archives",
    "pretrained model": "pretrained",
    "importer": "importers",
    "metric": "metrics",
    "logger": "loggers",
    "command": "commands",
}
"""What can be registered, and its plural."""
BASES = {
    "model": "Trainer",
    "generator": "Generator",
    "discriminator": "Discriminator",
    "loss": "Loss",
    "penalty": "Penalty",
    "source": "Source",
    "kind": "DataKind",
    "archive": "Archive",
    "pretrained model": "Pretrained",
    "importer": "Importer",
    "metric": "Metric",
    "logger": "Logger",
}
"""What is registered is a subclass of this, or, of the types in OBJECTS, an object."""
OBJECTS = ("archive", "pretrained model")
FILES: list[Path] = []  # plugins that are one file, not installed (`ganzoo --plugin FILE.py`)


@dataclass(frozen=True)
class Entry:
    """One registered name and where it comes from."""

    type: str  # one of TYPES
    name: str
    target: str  # "package.module:Name"
    distribution: str
    version: str
    summary: str = ""
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def qualified(self) -> str:
        return f"{self.distribution}/{self.name}"

    @property
    def package(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True)
class Broken:
    """A plugin that could not be loaded."""

    plugin: str
    distribution: str
    version: str
    reason: str

    def __str__(self) -> str:
        return f"{self.plugin} ({self.distribution} {self.version}) does not load: {self.reason}"


class Registry:
    """Every registered name, by type; filled once, from the built-in parts and the installed entry points."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.broken: list[Broken] = []
        self.warnings: list[str] = []
        self.damaged: list[str] = []  # installations, perhaps of something else
        self.recipes: dict[str, Path] = {}  # distribution -> the folder of its recipes
        self._add("ganzoo", lambda: builtin, "ganzoo", version("ganzoo"))
        for distribution, number, point in sorted(self._installed(), key=lambda found: found[:2]):
            if _wanted(point.name, distribution):
                self._add(point.name, point.load, distribution, number)
        for file in FILES:
            self._add(file.stem, partial(_load_file, file), file.name, "not installed")
        for (type_, name), count in Counter((entry.type, entry.name) for entry in self.entries).items():
            if count > 1:
                owners = " and ".join(entry.qualified for entry in self.matches(type_, name))
                self.warnings.append(f'{owners} are both called "{name}": a recipe must write the whole name of one.')

    def _installed(self) -> Iterator[tuple[str, str, EntryPoint]]:
        """The plugins that are installed, each with name and version of its distribution: the first on the path."""
        seen = set()
        for found in distributions():
            try:
                points = found.entry_points.select(group="ganzoo")
                facts: Any = found.metadata if points else {}
            except Exception as error:
                place = getattr(found, "_path", "an unknown place")
                said = f"The package in {place} is damaged: its metadata cannot be read ({error})"
                self.damaged.append(f"{said}. Reinstall or remove it, as torch does not load beside it.")
                continue
            name, number = (
                facts.get("Name") or "unnamed",
                facts.get("Version") or "unknown",
            )  # strangers may lack either
            if name == "unnamed" or name not in seen:
                yield from ((name, number, point) for point in points)
                seen |= {name} if points else set()
        self.warnings += self.damaged

    def _add(self, plugin: str, load: Callable[[], Any], distribution: str, version: str) -> None:
        found: list[Entry] = []
        had_torch, began = "torch" in sys.modules, time.perf_counter()
        try:
            with redirect_stdout(sys.stderr):  # what a plugin prints is no part of what a command says
                module = load()
            if not isinstance(module, ModuleType):
                raise TypeError(f"its entry point names {module!r}, it should name a module")
            if (built_for := getattr(module, "GANZOO_API", API)) != API:
                side = "ganzoo" if built_for > API else distribution
                raise GanzooError(f"it needs version {built_for} of the plugin contract, here is {API}: update {side}")
            manager = pluggy.PluginManager("ganzoo")  # one for each plugin, so that a broken one leaves nothing behind
            manager.add_hookspecs(hooks)
            manager.register(module, name=f"{distribution}/{plugin}")
            manager.check_pending()
            for type_, plural in TYPES.items():
                make = partial(Entry, type=type_, distribution=distribution, version=version)
                with redirect_stdout(sys.stderr):
                    getattr(manager.hook, f"register_{plural}")(register=partial(_register, found, make))
            self.entries += found
            for place in getattr(module, "__path__", ()):
                if os.path.isdir(folder := Path(place, "recipes")):
                    self.recipes.setdefault(distribution, folder)
        except KeyboardInterrupt:
            aborted = GanzooError(f"Aborted while {plugin} ({distribution} {version}) was loaded.")
            aborted.exit_code = 130
            raise aborted from None
        except BaseException as error:  # whatever a stranger's package does, the others must work
            self.broken.append(Broken(plugin, distribution, version, f"{type(error).__name__}: {error}"))
        if "torch" in sys.modules and not had_torch and not FILES:
            self.warnings.append(
                f"{plugin} ({distribution} {version}) imports torch when it is listed, which costs every command "
                f"{time.perf_counter() - began:.1f} s: its author should import it in the model's module only."
            )

    def names(self, type_: str) -> list[str]:
        return sorted({entry.name for entry in self.entries if entry.type == type_})

    def matches(self, type_: str, name: str) -> list[Entry]:
        """The entries of that name, or of the whole name `distribution/name`."""
        return [e for e in self.entries if e.type == type_ and name in (e.name, e.qualified)]

    def find(self, type_: str, name: str) -> Entry:
        """The entry of that name, or `distribution/name` where two plugins share a name."""
        matches, installed = self.matches(type_, name), self.names(type_)
        if len(matches) == 1:
            return matches[0]
        if matches:
            choices = " and ".join(f'"{entry.qualified}"' for entry in matches)
            raise GanzooError(f'Two plugins offer the {type_} "{name}". Write {choices} to say which one you mean.')
        message = f'There is no {type_} "{name}" installed.{did_you_mean(name, installed)}'
        message += f" Installed: {', '.join(installed) or 'none'}."
        if self.broken:
            message += f" Broken plugins (see `ganzoo list`): {', '.join(sorted(b.plugin for b in self.broken))}."
        if type_ == "model" and not installed:
            message += " Models come as packages of their own, installed with pip."
        raise GanzooError(message)

    def load(self, type_: str, name: str) -> Any:
        """The class behind a registered name; imports its module now."""
        entry = self.find(type_, name)
        module, _, attribute = entry.target.partition(":")
        try:
            with redirect_stdout(sys.stderr):
                loaded = getattr(import_module(module), attribute)
            _check_class(type_, loaded)
            return loaded
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if self.damaged:
                raise GanzooError(self.damaged[0]) from error
            raise GanzooError(
                f'The {type_} "{entry.name}" of {entry.distribution} {entry.version} does not load: {entry.target} '
                f"gives {type(error).__name__}: {error}. Reinstall or remove {entry.distribution}, or tell its author."
            ) from error


@cache
def registry() -> Registry:
    return Registry()


def did_you_mean(word: str, words: list[str]) -> str:
    """' Did you mean "x"?' for the most alike of `words`, or nothing."""
    match = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f' Did you mean "{match[0]}"?' if match else ""


def _check_class(type_: str, loaded: Any) -> None:
    """Raises TypeError where a registered thing is not what its type prescribes."""
    if type_ == "command":
        import click

        if not isinstance(loaded, click.Command):
            raise TypeError(f"it is {loaded!r}, it should be made with @click.command()")
        return
    base = getattr(import_module("ganzoo"), BASES[type_])
    if type_ in OBJECTS and not isinstance(loaded, base):
        raise TypeError(f"it is {loaded!r}, it should be a ganzoo.{base.__name__}")
    if type_ not in OBJECTS and not (isinstance(loaded, type) and issubclass(loaded, base)):
        raise TypeError(f"it is {loaded!r}, it should be a subclass of ganzoo.{base.__name__}")


def check_file(file: Path) -> None:
    """Raises GanzooError where a file cannot be a plugin: it is not there, or its name is that of another module."""
    if not file.is_file() or file.suffix != ".py":
        raise GanzooError(f"There is no Python file {file} to load as a plugin.")
    try:
        taken = importlib.util.find_spec(file.stem)
    except (ImportError, ValueError):  # a name with a dot, or a module that somebody made by hand
        taken = None
    if taken and not (taken.origin and file.samefile(taken.origin)):
        raise GanzooError(f'There is a module "{file.stem}" already: give {file} another name to load it as a plugin.')


def _load_file(file: Path) -> ModuleType:
    """The module in a file, under the file's name, so that "NAME:Class" finds it again."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec and spec.loader, f"there is no Python file {file}"
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module


def _wanted(plugin: str, distribution: str) -> bool:
    """GANZOO_LOAD_PLUGINS="a,b" loads only those (plugin or distribution names), "" loads none: to find a culprit."""
    chosen = os.environ.get("GANZOO_LOAD_PLUGINS")
    return chosen is None or bool({plugin, distribution} & {name.strip() for name in chosen.split(",")})


def _register(
    found: list[Entry], make: Callable[..., Entry], /, name: str, target: str, summary: str = "", **facts: str
) -> None:
    """What a hook calls with all but the first two."""
    entry = make(name=name, target=target, summary=summary, facts=facts)
    for what, text in {"its name": name, "summary": summary, **facts}.items():
        if not isinstance(text, str):
            raise TypeError(f"{what} of a {entry.type} that it registers is {text!r}, it should be text")
    if not isinstance(target, str) or target.count(":") != 1:
        raise TypeError(f'the target of {entry.type} "{name}" is {target!r}, it should be "package.module:Name"')
    if entry.type == "command" and Path(__file__).with_name("cli").joinpath(f"{name}.py").exists():
        raise ValueError(f'it registers the command "{name}", which is ganzoo\'s own')
    if any((other.type, other.name) == (entry.type, name) for other in found):
        raise ValueError(f'it registers the {entry.type} "{name}" twice')
    found.append(entry)
