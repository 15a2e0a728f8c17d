"""Writes what the docs take from the program: cli.md, models.md, and the tables and files between "generated" marks.

python docs/generate.py            rewrites them
python docs/generate.py --check    fails if one is stale; a test runs this
"""

import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import api
import click
from ganzoo_testing import subject, training, use

from ganzoo import hooks, recipe
from ganzoo.cli import cli
from ganzoo.cli.pretrained import catalogue
from ganzoo.cli.show import describe, table_options
from ganzoo.data.published import find
from ganzoo.options import DataOptions, TrainOptions
from ganzoo.registry import TYPES, registry
from ganzoo.scaffold import write_plugin

DOCS = Path(__file__).parent
ROOT = DOCS.parent
os.environ["GANZOO_LOAD_PLUGINS"] = ",".join(path.name for path in (ROOT / "plugins").iterdir())  # no stranger's


def command_reference() -> str:
    lines = ["# Command line", "", "Written by `python docs/generate.py` from the program's own help.", ""]

    def add(command: click.Command, name: str, parent: click.Context | None) -> None:
        context = click.Context(command, info_name=name, parent=parent, terminal_width=100)
        lines.extend([f"## {context.command_path}", "", "```text", command.get_help(context), "```", ""])
        if isinstance(command, click.Group):
            plugins = registry().names("command") if command is cli else []
            for child in [*command.list_commands(context), *plugins]:
                add(command.get_command(context, child), child, context)

    add(cli, "ganzoo", None)
    return "\n".join(lines)


def option_tables() -> str:
    parts = []
    for table, options in (("data", DataOptions), ("train", TrainOptions)):
        parts += [f"### `[{table}]`", "", *option_table(table_options(options)), ""]
    return "\n".join(parts).rstrip()


def option_table(options: list[dict[str, Any]]) -> list[str]:
    lines = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for option in options:
        kind, default = option["type"].replace("|", "or"), option["default"]
        shown = "" if default in (None, "", [], ()) else f"`{_toml(default)}`"
        lines.append(
            f"| `{option['name']}` | {kind} | {shown} | {' '.join(option['meaning'].split()).replace('|', 'or')} |"
        )
    return lines


def zoo(link: str) -> str:
    """The models as a table; `link` leads to their page."""
    lines = ["| model | what it does | data | paper |", "| --- | --- | --- | --- |"]
    for name in registry().names("model"):
        entry = registry().find("model", name)
        facts = entry.facts
        lines.append(f"| [{name}]({link}#{name}) | {entry.summary} | {facts['data_kind']} | {facts['paper']} |")
    return "\n".join(lines)


def models() -> str:
    lines = [
        "# The zoo",
        "",
        "Every model with its recipes, presets and options, and every part that a recipe can name. Written by "
        "`python docs/generate.py` from what `ganzoo show NAME` says.",
        "",
        zoo(""),
        "",
    ]
    results = (DOCS / "results.md").read_text(encoding="utf-8")
    recipes = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "recipes").glob("*.toml"))}
    for name in registry().names("model"):
        facts = describe(name)
        lines += [f"## {name}", "", f"{facts['summary'][0].upper()}{facts['summary'][1:]} ({facts['paper']}).", ""]
        kind = f"Data: {facts['data_kind']} ([kinds of data](plugins.md))."
        lines += [f"{kind} `pip install {facts['distribution']}`.", ""]
        for path, text in recipes.items():
            if tomllib.loads(text)["model"] == name:
                about = re.split(r"\s{2,}", text.splitlines()[0].lstrip("# "))[0]
                shown = f"[{about}](results.md#{path.stem})" if f"## {path.stem}\n" in results else about
                lines.append(f"- {shown} `ganzoo run recipes/{path.name}`")
        for key, changes in facts["presets"].items():
            text = ", ".join(f"`{k} = {json.dumps(v)}`" for k, v in changes.items()) or "the defaults"
            lines.append(f"- Preset `{key}`: {text}.")
        lines += ["", *option_table(facts["options"]), ""]
    for type_ in ("generator", "discriminator", "loss", "source", "metric"):
        lines += [f"## {TYPES[type_].capitalize()}", "", "| name | what it does | options |", "| --- | --- | --- |"]
        for name in registry().names(type_):
            facts = describe(name, type_)
            options = [f"`{o['name']} = {_toml(o['default'])}`".replace(" = None", "") for o in facts["options"]]
            lines.append(f"| `{name}` | {facts['summary']} | {', '.join(options)} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def archives() -> str:
    lines = ["| archive | domains | images | MB | |", "| --- | --- | --- | --- | --- |"]
    for name in registry().names("archive"):
        entry, archive = registry().find("archive", name), find(name)
        count = f"{sum(archive.counts):,}" if archive.counts else ""
        size = f"{archive.bytes / 1e6:,.0f}" if archive.bytes else ""
        lines.append(f"| `{name}` | {', '.join(archive.domains)} | {count} | {size} | {entry.summary} |")
    return "\n".join(lines)


def pretrained() -> str:
    lines = ["| name | what it does | model | MB | licence |", "| --- | --- | --- | --- | --- |"]
    licences = list(dict.fromkeys(row["licence"] for row in catalogue()[0]))
    for row in catalogue()[0]:
        model, number = f"[{row['model']}](models.md#{row['model']})", licences.index(row["licence"]) + 1
        lines.append(f"| `{row['name']}` | {row['summary']} | {model} | {row['MB']} | {number} |")
    return "\n".join([*lines, "", *(f"{number}. {licence}" for number, licence in enumerate(licences, start=1))])


def kinds() -> str:
    rows = [f"| `{entry.name}` | {entry.summary} |" for entry in registry().entries if entry.type == "kind"]
    return "\n".join(["| `data_kind` | a batch |", "| --- | --- |", *rows])


def hook_table() -> str:
    specs = [f for name, f in vars(hooks).items() if name.startswith("register_")]
    rows = [f"| `{f.__name__}` | {' '.join(inspect.getdoc(f).split())} |" for f in specs]
    return "\n".join(["| hook | |", "| --- | --- |", *rows])


def checks() -> str:
    found = [f for module in (subject, training, use) for f in vars(module).values() if inspect.isfunction(f)]
    found = [f for f in dict.fromkeys(found) if f.__name__.startswith("check_")]
    return "\n".join(f"- {' '.join(inspect.getdoc(f).partition(chr(10) * 2)[0].split())}" for f in found)


def quick_settings(path: Path) -> str:
    """What a quick run changes of its recipe's options and schedule."""
    full, quick = (recipe.read(path, quick=quick).tables() for quick in (False, True))
    kept = ("lr", "constant", "ema", "precision")
    changes = [
        f"`{key} = {_value(value)}`" for key, value in quick["options"].items() if full["options"].get(key) != value
    ]
    changes += [
        f"`{key} = {_value(quick['train'][key])}`" for key in kept if full["train"].get(key) != quick["train"].get(key)
    ]
    length = f"{quick['data']['size']} px and {quick['train']['images']:,} images"
    return (
        f"Instead of {full['data']['size']} px and {full['train']['images']:,} images: {length}; {', '.join(changes)}."
    )


def published() -> str:
    """The published settings as a table, from reproduce.toml."""
    settings = tomllib.loads((DOCS / "reproduce.toml").read_text(encoding="utf-8"))["setting"]
    lines = [
        "| command | published in | published figure | our figure | data | training |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for s in settings:
        path, preset = ROOT / "recipes" / f"{s['recipe']}.toml", s.get("preset", "")
        paper = registry().find("model", recipe.read(path, preset=preset).model).facts["paper"]
        command = f"`ganzoo run recipes/{path.name}{f' --preset {preset}' if preset else ''}`"
        where = f"{paper}, {s['where']}"
        lines.append(
            f"| {command} | {where} | {s.get('figure', 'none')} | {s.get('ours', '')} | {s['data']} | {s['training']} |"
        )
    return "\n".join(lines)


def plugin_files() -> dict[str, str]:
    """The files of the tutorial's plugin, as `ganzoo new plugin` writes them, by their paths."""
    with tempfile.TemporaryDirectory() as folder:
        written = write_plugin("sketchgan", "unpaired", Path(folder))
        texts = {path.relative_to(folder): path.read_text(encoding="utf-8").rstrip() for path in written}
    languages = {".py": "python", ".toml": "toml"}
    return {path.as_posix(): f"```{languages.get(path.suffix, 'text')}\n{text}\n```" for path, text in texts.items()}


def reference(text: str, packages: dict[str, Any]) -> dict[str, str]:
    """The blocks of a page of docs/reference: names of the public API, each under a heading below its section's."""
    level, blocks = 1, {}
    own = re.sub(r"(<!-- generated: .*? -->\n).*?<!-- /generated -->", r"\1", text, flags=re.DOTALL)
    for marks, name, members in re.findall(r"^(?:(#+) .*|<!-- generated: (\S+)(.*) -->)$", own, flags=re.MULTILINE):
        level = len(marks) or level
        if name:
            blocks[name + members] = api.markdown(packages, name, members.split(), level + 1)
    return blocks


def pages() -> dict[Path, str]:
    """Every generated page as it should be."""
    recipes = sorted((ROOT / "recipes").glob("*.toml"))
    blocks = {
        "data.md": {"archives": archives()},
        "pretrained.md": {"pretrained": pretrained()},
        "recipes.md": {"tables": option_tables()},
        "plugins.md": {"kinds": kinds(), "hooks": hook_table(), "checks": checks()},
        "tutorial.md": plugin_files(),
        "reproduce.md": {"published": published()},
        "results.md": {
            path.stem: quick_settings(path) for path in recipes if "quick" in tomllib.loads(path.read_text())
        },
        "../README.md": {"zoo": zoo("docs/models.md")},
    }
    packages = api.load()
    for page in sorted((DOCS / "reference").glob("*.md")):
        blocks[f"reference/{page.name}"] = reference(page.read_text(encoding="utf-8"), packages)
    result = {DOCS / "cli.md": command_reference(), DOCS / "models.md": models()}
    for page, parts in blocks.items():
        text = (DOCS / page).read_text(encoding="utf-8")
        for name, content in parts.items():
            pattern = rf"(<!-- generated: {re.escape(name)} -->\n).*?(<!-- /generated -->)"
            text = re.sub(pattern, lambda m, c=content: f"{m[1]}\n{c}\n\n{m[2]}", text, flags=re.DOTALL)
        result[DOCS / page] = _formatted(text) if page.startswith("reference/") else text
    return result


def _formatted(text: str) -> str:
    """The code in a page as `ruff format` wants it."""
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(DOCS / "page.md"), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def _value(value: Any) -> str:
    """As a recipe writes it, parts with their options."""
    return str(value["name"]) if isinstance(value, dict) and "name" in value else json.dumps(value)


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
