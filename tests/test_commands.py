"""Every command that the README and the docs show is one that ganzoo has; the README's five minutes run as typed."""

import re
import shlex
from pathlib import Path

import click
import pytest
from PIL import Image

from ganzoo.cli import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "plugins").glob("*/README.md"))]
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))


def shown(page):
    """The command lines of ganzoo in the blocks, inline code and comments of a page, as words."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^```(?:bash|console|sh|text)?\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks if page.name != "cli.md" for line in block.splitlines()]
    lines += re.findall(r"`(ganzoo [^`\n]+)`", text)
    for line in lines:
        line = re.sub(r"^[\w./$ ]*?(?:\.venv/bin/)(?=ganzoo )|^(?:\$ |[A-Z_]+=\S+ )+", "", line.strip())
        if line.startswith("ganzoo ") and "..." not in line and "…" not in line:
            yield shlex.split(line, comments=True)[1:]


def understood(words):
    """Whether there is such a command with such options; values are not looked at, as many stand for others (N, D)."""
    context = click.Context(cli, info_name="ganzoo")
    command, place = cli, 0
    while isinstance(command, click.Group):
        while place < len(words) and words[place].startswith("-"):
            place += 2 if words[place] == "--plugin" else 1
        if place >= len(words):
            return
        if words[place].isupper():  # stands for a name
            return
        found = command.get_command(context, words[place])
        assert found, f"there is no command {words[place]}"
        command, place = found, place + 1
    parser = command.make_parser(click.Context(command, info_name=command.name))
    parser.parse_args(list(words[place:]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_is_shown_is_one(page):
    for words in shown(page):
        try:
            understood(words)
        except (click.UsageError, AssertionError) as error:
            pytest.fail(f"{page.name} shows `ganzoo {shlex.join(words)}`: {error}")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_command_in_a_recipe_is_one(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        for command in re.findall(r"#.*?\b(ganzoo (?:run|data|translate|evaluate|copy) .*)", line):
            understood(shlex.split(command.split("   ")[0].split(", ")[0], comments=True)[1:])


def test_the_five_minutes_of_the_readme(tmp_path, images, ganzoo):
    """Typed as they stand there, on a training of four small images; what asks for the network or a browser is not."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    minutes = text[text.index("## Five minutes") : text.index("## What you can rely on")]
    block = next(b for b in re.findall(r"```bash\n(.*?)```", minutes, flags=re.DOTALL) if "data check" in b)
    for name, letter in (("day", "A"), ("night", "B")):
        (tmp_path / "images" / name).mkdir(parents=True)
        for file in (images / f"train{letter}").iterdir():
            Image.open(file).save(tmp_path / "images" / name / file.name)
    lines = [shlex.split(line, comments=True)[1:] for line in block.strip().splitlines()]
    assert [words[0] for words in lines] == ["data", "run", "translate", "evaluate", "pack", "demo"]
    for words in lines[:-1]:
        small = ["--set", "train.images=4", "--set", "data.size=32", "--set", "options.generator.depth=2"]
        done = ganzoo(*words, *(small if words[0] == "run" else ()), cwd=tmp_path)
        assert done.returncode == 0, done
    assert len(list((tmp_path / "translated").iterdir())) == 8
    assert (tmp_path / lines[-1][1]).stat().st_size > 1000
