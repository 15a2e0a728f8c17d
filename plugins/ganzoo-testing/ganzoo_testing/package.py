"""What is checked of everything that a package registers: a light package, and options that say what they mean."""

import os
import subprocess
import sys
from functools import cache

from ganzoo.options import Options
from ganzoo.registry import registry
from ganzoo_testing.report import wrong


def check_package(type_: str, name: str) -> None:
    """Importing the plugin's package, as `ganzoo list` does, imports no torch."""
    package, dot, _ = registry().find(type_, name).target.partition(":")[0].partition(".")
    if dot and _imports_torch(package, tuple(sys.path)):  # without a dot: a single file, for work not installed
        raise wrong(
            f'{type_} "{name}"',
            f"package {package}",
            "an __init__.py that imports no torch, because every `ganzoo` command reads it; this one does: import what "
            "needs torch in the module of the registered class only",
        )


@cache
def _imports_torch(package: str, path: tuple[str, ...]) -> bool:
    code = f"import sys, {package}; sys.exit('torch' in sys.modules)"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    return bool(subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode)


def check_options(what: str, table: str, options: Options, from_toml: Options) -> None:
    """Every option says what it means and survives TOML and JSON; the JSON Schema can be written."""
    kind = type(options)
    for name, field in kind.model_fields.items():
        if not field.description:
            raise wrong(what, f"{table}.{name}", "a description: a string under the field, or Field(description=...)")
    kind.model_json_schema()
    from_json = kind.model_validate_json(options.model_dump_json())
    for language, again in (("TOML", from_toml), ("JSON", from_json)):
        for name in kind.model_fields:
            before, after = getattr(options, name), getattr(again, name)
            if before != after:
                expected = (
                    f"a value that survives being written as {language} and read again; {before!r} became {after!r}"
                )
                raise wrong(what, f"{table}.{name}", expected)
