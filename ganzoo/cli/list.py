"""ganzoo list"""

import json
from dataclasses import asdict
from typing import Any

import click


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_command(as_json: bool) -> None:
    """Show what is installed: models and parts, and the package each comes from."""
    from ganzoo.registry import TYPES, registry

    found = registry()
    if as_json:
        listing: dict[str, list[dict[str, Any]]] = {plural: [] for plural in TYPES.values()}
        for entry in sorted(found.entries, key=lambda e: e.name):
            facts = {k: v for k, v in asdict(entry).items() if k not in ("type", "facts", "target")}
            listing[TYPES[entry.type]].append(facts | entry.facts)
        click.echo(
            json.dumps(listing | {"broken": [asdict(b) for b in found.broken], "warnings": found.warnings}, indent=1)
        )
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    for type_, plural in TYPES.items():
        table = Table(title=plural, title_justify="left", title_style="bold", box=None)
        shown = ("data", "what it does", "paper") if type_ == "model" else ("what it does",)
        for column in ("name", *shown, "package"):
            table.add_column(
                column, style="cyan" if column == "name" else "", header_style="dim", no_wrap=column == "name"
            )
        for e in sorted((e for e in found.entries if e.type == type_), key=lambda e: e.name):
            told = {"data": e.facts.get("data_kind", ""), "what it does": e.summary, "paper": e.facts.get("paper", "")}
            table.add_row(e.name, *(escape(told[column]) for column in shown), f"{e.distribution} {e.version}")
        if type_ == "model" and not table.row_count:
            console.print("[bold]models[/]\n none yet: they come as packages of their own, installed with pip")
        elif table.row_count:
            console.print(table)
        else:
            continue
        console.print()
    for broken in found.broken:
        line = f"{broken.plugin} ({broken.distribution} {broken.version}) does not load: {broken.reason}"
        console.print(f"[red]broken[/] {escape(line)}", highlight=False)
    for warning in found.warnings:
        console.print(f"[yellow]note[/] {escape(warning)}", highlight=False)
