"""ganzoo list"""

import json
from dataclasses import asdict

import click


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_(as_json: bool) -> None:
    """Show what is installed: models and parts, and the package each comes from."""
    from ganzoo.registry import KINDS, registry

    found = registry()
    if as_json:
        listing = {f"{kind}s" if kind != "loss" else "losses": [] for kind in KINDS}
        for entry in sorted(found.entries, key=lambda e: e.name):
            facts = {k: v for k, v in asdict(entry).items() if k not in ("kind", "facts", "target")}
            listing["losses" if entry.kind == "loss" else f"{entry.kind}s"].append(facts | entry.facts)
        click.echo(
            json.dumps(listing | {"broken": [asdict(b) for b in found.broken], "warnings": found.warnings}, indent=1)
        )
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    for kind in KINDS:
        table = Table(
            title=f"{kind}s" if kind != "loss" else "losses", title_justify="left", title_style="bold", box=None
        )
        columns = (
            ("name", "data", "what it does", "paper", "package")
            if kind == "model"
            else ("name", "what it does", "package")
        )
        for column in columns:
            table.add_column(
                column, style="cyan" if column == "name" else "", header_style="dim", no_wrap=column == "name"
            )
        for e in sorted((e for e in found.entries if e.kind == kind), key=lambda e: e.name):
            facts = [e.facts.get("data", ""), e.summary, e.facts.get("paper", "")] if kind == "model" else [e.summary]
            table.add_row(e.name, *map(escape, facts), f"{e.distribution} {e.version}")
        if kind == "model" and not table.row_count:
            console.print("[bold]models[/]\n none yet: [cyan]pip install ganzoo-cyclegan[/]")
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
