"""ganzoo list"""

import json
from dataclasses import asdict
from typing import Any

import click


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(as_json: bool) -> None:
    """Show what is installed: models and parts, and the package each comes from."""
    from ganzoo.cli.output import print_table
    from ganzoo.registry import TYPES, registry

    found = registry()
    by_type = {t: sorted((e for e in found.entries if e.type == t), key=lambda e: e.name) for t in TYPES}
    if as_json:
        listing: dict[str, Any] = {"broken": list(map(asdict, found.broken)), "warnings": found.warnings}
        for type_, entries in by_type.items():
            listing[TYPES[type_]] = [asdict(entry) | entry.facts for entry in entries]
        click.echo(json.dumps(listing, indent=1))
        return
    if not by_type["model"]:
        click.echo("No models yet: they come as packages of their own, installed with pip.\n")
    for type_, entries in by_type.items():
        if entries:
            facts = dict.fromkeys(fact for entry in entries for fact in entry.facts if fact != "bibtex")
            columns = ("name", "what it does", *(fact.replace("_", " ") for fact in facts), "package")
            table = [(e.name, e.summary, *(e.facts.get(f, "") for f in facts), e.package) for e in entries]
            print_table(columns, table, TYPES[type_])
            click.echo()
    for broken in found.broken:
        click.echo(f"{click.style('broken', fg='red')} {broken}")
    for warning in found.warnings:
        click.echo(f"{click.style('note', fg='yellow')} {warning}")
