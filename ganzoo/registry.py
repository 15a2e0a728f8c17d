"""Finds plugins, keeps broken ones apart, and imports one registered thing when it is used."""

import difflib
import importlib.util
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points, version
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
    "metric": "metrics",
    "command": "commands",
}
"""What can be registered, and its plural."""
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
        self._add("ganzoo", lambda: builtin, "ganzoo", version("ganzoo"))
        for point in sorted(entry_points(group="ganzoo"), key=_origin):
            distribution, number = _origin(point)
            if _wanted(point.name, distribution):
                self._add(point.name, point.load, distribution, number)
        for file in FILES:
            self._add(file.stem, partial(_load_file, file), file.name, "not installed")
        for (type_, name), count in Counter((entry.type, entry.name) for entry in self.entries).items():
            if count > 1:
                owners = " and ".join(entry.qualified for entry in self.matches(type_, name))
                self.warnings.append(f'{owners} are both called "{name}": a recipe must write the whole name of one.')

    def _add(self, plugin: str, load: Callable[[], Any], distribution: str, version: str) -> None:
        found: list[Entry] = []
        had_torch, began = "torch" in sys.modules, time.perf_counter()
        try:
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
                getattr(manager.hook, f"register_{plural}")(register=partial(_register, found, make))
            self.entries += found
        except (Exception, SystemExit) as error:  # whatever a stranger's package does, the others must work
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
            return getattr(import_module(module), attribute)
        except (Exception, SystemExit) as error:
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


def _origin(point: EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution of an entry point; the metadata of strangers may lack either."""
    facts: Any = point.dist.metadata if point.dist else {}
    return facts.get("Name") or "unnamed", facts.get("Version") or "unknown"


def _load_file(file: Path) -> ModuleType:
    """The module in a file, under the file's name, so that "NAME:Class" finds it again."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise GanzooError(f"there is no Python file {file}")
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
    if not isinstance(target, str) or target.count(":") != 1:
        raise TypeError(f'the target of {entry.type} "{name}" is {target!r}, it should be "package.module:Name"')
    if entry.type == "command" and Path(__file__).with_name("cli").joinpath(f"{name}.py").exists():
        raise ValueError(f'it registers the command "{name}", which is ganzoo\'s own')
    if any((other.type, other.name) == (entry.type, name) for other in found):
        raise ValueError(f'it registers the {entry.type} "{name}" twice')
    found.append(entry)
