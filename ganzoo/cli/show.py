"""ganzoo show"""

import json
from typing import Any

import click

from ganzoo.registry import TYPES


@click.command("show")
@click.argument("name", metavar="MODEL")
@click.option("--type", "type_", type=click.Choice(list(TYPES)), help="Of several things of that name.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def show_command(name: str, type_: str | None, as_json: bool) -> None:
    """Show a model or a part: what it is, where it comes from, and every option with type, default and meaning."""
    facts = describe(name, type_)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    console.print(f"[bold cyan]{facts['name']}[/]  {escape(facts['summary'])}")
    for key in ("type", "data_kind", "data_kinds", "paper", "licence", "package"):
        if facts.get(key):
            console.print(f"  [dim]{key:10}[/] {escape(facts[key])}", highlight=False)
    for name, changes in facts.get("presets", {}).items():
        text = ", ".join(f"{k} = {json.dumps(v)}" for k, v in changes.items()) or "the defaults"
        console.print(f"  [dim]preset    [/] {name}: {escape(text)}", highlight=False)
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 2))
    for column in ("option", "type", "default", "meaning"):
        table.add_column(column, style="cyan" if column == "option" else "")
    for option in facts["options"]:
        default = json.dumps(option["default"]) if option["default"] is not None else ""
        table.add_row(option["name"], escape(option["type"]), escape(default), escape(option["meaning"]))
    if table.row_count:
        console.print()
        console.print(table)
    for other in facts["types"]:
        if other != facts["type"]:
            click.echo(f"\nThere is a {other} of that name, too: ganzoo show {facts['name']} --type {other}")


def describe(name: str, type_: str | None = None) -> dict[str, Any]:
    """Everything that `ganzoo show` says of a registered name; without a type, of the first that has it."""
    from ganzoo.errors import GanzooError
    from ganzoo.options import options_of
    from ganzoo.registry import registry

    found = registry()
    types = [t for t in TYPES if found.matches(t, name)]
    try:
        entry = found.find(type_ or (types or ["model"])[0], name)
    except GanzooError as error:
        raise GanzooError(f"{error} `ganzoo list` shows all that there is.") from None
    target = found.load(entry.type, name)
    facts: dict[str, Any] = {
        "name": entry.name,
        "type": entry.type,
        "summary": entry.summary,
        **entry.facts,
        "package": f"{entry.distribution} {entry.version}",
        "distribution": entry.distribution,
        "version": entry.version,
        "types": types,
    }
    if entry.type == "model":
        facts["presets"] = target.presets
        facts["options"] = table_options(target.Config)
    elif entry.type == "command":
        facts["options"] = _command_options(target)
    elif entry.type == "archive":
        facts |= {"licence": target.licence, "options": []}
    else:
        facts["options"] = table_options(options_of(target)) if isinstance(target, type) else []
    return facts


def table_options(config: Any) -> list[dict[str, Any]]:
    """The options of a table of a recipe, a class of `Options`."""
    properties = config.model_json_schema().get("properties", {})
    own_first = [name for cls in config.__mro__ for name in vars(cls).get("__annotations__", ()) if name in properties]
    options = []
    for name in dict.fromkeys([*own_first, *properties]):
        schema = properties[name]
        default = schema.get("default")
        meaning = schema.get("description", "")
        options.append({"name": name, "type": type_name(schema), "default": default, "meaning": meaning})
    return options


def _command_options(command: click.Command) -> list[dict[str, Any]]:
    return [
        {"name": p.opts[0], "type": p.type.name, "default": None, "meaning": getattr(p, "help", None) or ""}
        for p in command.params
    ]


def type_name(schema: dict[str, Any]) -> str:
    """A JSON Schema type in a reader's words."""
    if "part" in schema:
        return schema["part"]
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(type_name(s) for s in schema["anyOf"]))
    if "prefixItems" in schema:
        return f"[{', '.join(type_name(s) for s in schema['prefixItems'])}]"
    kind = {"string": "text", "object": "table", "boolean": "true | false", "null": "unset"}.get(schema.get("type", ""))
    bounds = [f">= {schema['minimum']:g}"] if "minimum" in schema else []
    bounds += [f"<= {schema['maximum']:g}"] if "maximum" in schema else []
    return " ".join([kind or schema.get("type", "any"), *bounds])
