"""Writes what the docs take from the program: docs/cli.md, and the tables and files between "generated" marks.

python docs/generate.py            rewrites them
python docs/generate.py --check    fails if one is stale; a test runs this
"""

import inspect
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

os.environ["GANZOO_LOAD_PLUGINS"] = ""  # the help shows the commands of plugins that happen to be installed

from ganzoo import hooks, testing
from ganzoo.cli import cli
from ganzoo.cli.show import type_name
from ganzoo.options import DataOptions, TrainOptions
from ganzoo.scaffold import write_plugin
from ganzoo.trainer import KINDS

DOCS = Path(__file__).parent


def command_reference() -> str:
    lines = ["# Command line", "", "Written by `python docs/generate.py` from the program's own help.", ""]

    def add(command: click.Command, name: str, parent: click.Context | None) -> None:
        context = click.Context(command, info_name=name, parent=parent, terminal_width=100)
        lines.extend([f"## {context.command_path}", "", "```text", command.get_help(context), "```", ""])
        if isinstance(command, click.Group):
            for child in command.list_commands(context):
                add(command.get_command(context, child), child, context)

    add(cli, "ganzoo", None)
    return "\n".join(lines)


def option_tables() -> str:
    parts = []
    for table, options in (("data", DataOptions), ("train", TrainOptions)):
        parts += [f"### `[{table}]`", "", "| key | type | default | meaning |", "| --- | --- | --- | --- |"]
        schema = options.model_json_schema()
        for name, field in schema["properties"].items():
            kind = type_name(field).replace("|", "or")
            default = "" if field.get("default") in (None, "", []) else f"`{_toml(field['default'])}`"
            parts.append(f"| `{name}` | {kind} | {default} | {field.get('description', '')} |")
        parts.append("")
    return "\n".join(parts).rstrip()


def kinds() -> str:
    return "\n".join(["| `data` | a batch |", "| --- | --- |", *(f"| `{k}` | {text} |" for k, text in KINDS.items())])


def hook_table() -> str:
    specs = [f for name, f in vars(hooks).items() if name.startswith("register_")]
    rows = [f"| `{f.__name__}` | {' '.join(inspect.getdoc(f).split())} |" for f in specs]
    return "\n".join(["| hook | |", "| --- | --- |", *rows])


def checks() -> str:
    found = [f for name, f in vars(testing).items() if name.startswith("_check_") and inspect.getdoc(f)]
    return "\n".join(f"- {' '.join(inspect.getdoc(f).split())}" for f in found)


def plugin_files() -> dict[str, str]:
    """The files of the tutorial's plugin, as `ganzoo new plugin` writes them, by their paths."""
    with tempfile.TemporaryDirectory() as folder:
        written = write_plugin("sketchgan", "unpaired", Path(folder))
        texts = {path.relative_to(folder): path.read_text(encoding="utf-8").rstrip() for path in written}
    languages = {".py": "python", ".toml": "toml"}
    return {path.as_posix(): f"```{languages.get(path.suffix, 'text')}\n{text}\n```" for path, text in texts.items()}


def pages() -> dict[Path, str]:
    """Every generated page as it should be."""
    blocks = {
        "recipes.md": {"tables": option_tables()},
        "plugins.md": {"kinds": kinds(), "hooks": hook_table(), "checks": checks()},
        "tutorial.md": plugin_files(),
    }
    result = {DOCS / "cli.md": command_reference()}
    for page, parts in blocks.items():
        text = (DOCS / page).read_text(encoding="utf-8")
        for name, content in parts.items():
            pattern = rf"(<!-- generated: {re.escape(name)} -->\n).*?(<!-- /generated -->)"
            text = re.sub(pattern, lambda m, c=content: f"{m[1]}\n{c}\n\n{m[2]}", text, flags=re.DOTALL)
        result[DOCS / page] = text
    return result


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def main() -> None:
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv:
        sys.exit(f"Stale: {', '.join(p.name for p in stale)}. Run python docs/generate.py." if stale else 0)
    for path in stale:
        path.write_text(pages()[path], encoding="utf-8")


if __name__ == "__main__":
    main()
