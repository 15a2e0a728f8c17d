"""ganzoo pretrained"""

from typing import Any

import click

from ganzoo.cli.output import print_table, say, say_json


@click.command("pretrained")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(as_json: bool) -> None:
    """Show the published models that the commands take by NAME: ganzoo translate NAME INPUT OUTPUT.

    Each is downloaded when it is first used, converted, and kept in the cache. MB is what is kept.
    """
    rows, broken = catalogue()
    if as_json:
        say_json(rows)
        return
    licences = list(dict.fromkeys(row["licence"] for row in rows))
    for model, paper in dict.fromkeys((row["model"], row["paper"]) for row in rows):
        own = [row for row in rows if (row["model"], row["paper"]) == (model, paper)]
        shown = [[r["name"], r["summary"], f"[{licences.index(r['licence']) + 1}]", f"{r['MB']:,}"] for r in own]
        title = f"{model}: {paper}" if paper else model
        print_table(("name", "what it does", "licence", "MB"), shown, title, right=("licence", "MB"))
        say()
    for number, licence in enumerate(licences, start=1):
        say(f"[{number}] {licence}")
    say("\nganzoo translate NAME INPUT OUTPUT uses one, ganzoo show NAME tells more.")
    for line in broken:
        say(line)


def catalogue() -> tuple[list[dict[str, Any]], list[str]]:
    """The published models by their names, and what is wrong with those that do not load."""
    from ganzoo.errors import GanzooError
    from ganzoo.pretrained import find
    from ganzoo.registry import registry

    rows, broken = [], []
    for entry in sorted(registry().entries, key=lambda entry: (entry.facts.get("model", ""), entry.name)):
        if entry.type == "pretrained model":
            try:
                found = find(entry.qualified)
            except GanzooError as error:
                broken.append(f"broken {error}")
                continue
            known = found.trained_on
            facts: dict[str, Any] = {
                "name": entry.name,
                "summary": entry.summary,
                "model": found.model,
                "paper": found.published_in,
            }
            facts |= {"licence": found.licence, "MB": round(4 * found.parameters / 1e6), "size": known.size}
            facts |= {
                "domains": known.domains,
                "labels": known.labels,
                "urls": found.urls,
                "file": found.file,
                "sha256": found.sha256,
            }
            rows.append(facts | {"package": entry.package})
    return rows, broken
