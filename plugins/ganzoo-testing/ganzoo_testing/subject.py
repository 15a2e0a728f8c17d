"""What is checked, how the kit says what is wrong, and what holds for all that a package registers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from ganzoo.options import Options
from ganzoo.registry import registry


class ConformanceError(AssertionError):
    """Something registered that breaks the contract: what was expected, what was found, where to look."""


@dataclass(frozen=True)
class Subject:
    """Something registered that is checked. Whatever is expected of it goes on after the word "expected"."""

    type: str
    name: str

    def wrong(self, where: str, expected: str) -> ConformanceError:
        return ConformanceError(f'{self.type} "{self.name}", {where}: expected {expected}.')

    def expect(self, condition: Any, where: str, expected: str) -> None:
        if not condition:
            raise self.wrong(where, expected)

    @contextmanager
    def expecting(self, where: str, expected: str) -> Iterator[None]:
        """Inside, whatever the code under test raises becomes a ConformanceError."""
        try:
            yield
        except ConformanceError:
            raise
        except Exception as error:
            reason = (str(error).strip() or "no message").splitlines()[0]
            raise self.wrong(where, f"{expected}; it gives {type(error).__name__}: {reason}") from error


def check_package(subject: Subject) -> None:
    """Importing the plugin's package, as `ganzoo list` does, imports no torch."""
    package, dot, _ = registry().find(subject.type, subject.name).target.partition(":")[0].partition(".")
    subject.expect(
        not dot or not _imports_torch(package, tuple(sys.path)),  # without a dot: a single file, for work not installed
        f"package {package}",
        "an __init__.py that imports no torch, because every `ganzoo` command reads it; this one does: import what "
        "needs torch in the module of the registered class only",
    )


@cache
def _imports_torch(package: str, path: tuple[str, ...]) -> bool:
    code = f"import sys, {package}; sys.exit('torch' in sys.modules)"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    return bool(subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode)


def check_options(subject: Subject, table: str, options: Options, from_toml: Options) -> None:
    """Every option says what it means and survives TOML and JSON; the JSON Schema can be written."""
    kind = type(options)
    kind.model_json_schema()
    from_json = kind.model_validate_json(options.model_dump_json())
    for name, field in kind.model_fields.items():
        where = f"{table}.{name}"
        subject.expect(field.description, where, "a description: a string under the field, or Field(description=...)")
        for language, again in (("TOML", from_toml), ("JSON", from_json)):
            before, after = getattr(options, name), getattr(again, name)
            expected = f"a value that survives being written as {language} and read again; {before!r} became {after!r}"
            subject.expect(before == after, where, expected)
