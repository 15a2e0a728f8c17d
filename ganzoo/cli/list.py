"""ganzoo list"""

from dataclasses import asdict
from typing import Any

import click

from ganzoo.cli.output import print_table, say, say_json


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(as_json: bool) -> None:
    """Show what is installed: models and parts, and the package each comes from."""
    from ganzoo.registry import TYPES, registry

    found = registry()
    by_type = {t: sorted((e for e in found.entries if e.type == t), key=lambda e: e.name) for t in TYPES}
    if as_json:
        listing: dict[str, Any] = {"broken": list(map(asdict, found.broken)), "warnings": found.warnings}
        for type_, entries in by_type.items():
            listing[TYPES[type_]] = [asdict(entry) | entry.facts for entry in entries]
        say_json(listing)
        return
    if not by_type["model"]:
        say("No models yet: they come as packages of their own, installed with pip.\n")
    for type_, entries in by_type.items():
        if entries:
            facts = dict.fromkeys(fact for entry in entries for fact in entry.facts if fact != "bibtex")
            columns = ("name", "what it does", *(fact.replace("_", " ") for fact in facts), "package")
            table = [(e.name, e.summary, *(e.facts.get(f, "") for f in facts), e.package) for e in entries]
            print_table(columns, table, TYPES[type_])
            say()
    for broken in found.broken:
        say(broken, label="broken", color="red")
    for warning in found.warnings:
        say(warning, label="note", color="yellow")
