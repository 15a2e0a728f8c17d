"""What the commands print under a terminal of any width, and without one."""

import os
import re
import subprocess
import sys

import pytest

from ganzoo.registry import registry

pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
ROWS = [
    ["a-rather-long-name", "short", "0.125", "of a package 0.1.0"],
    ["name", "a sentence that is a good deal longer than that one", "12.5", ""],
]
TABLE = f"""
from ganzoo.cli.output import print_table
print_table(["name", "what it does", "value", "package"], {ROWS}, "things", ["value"])
"""
LIST = "from ganzoo.cli import main; import sys; sys.argv = ['ganzoo', 'list']; main()"


def under_a_terminal(program: str, width: int) -> list[str]:
    """The lines that the program prints under a terminal of this width, without styles."""
    master, slave = pty.openpty()
    env = os.environ | {"COLUMNS": str(width), "TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-c", program], stdout=slave, stderr=slave, env=env)
    os.close(slave)
    said = b""
    while True:
        try:
            said += os.read(master, 65536)
        except OSError:  # it has ended
            break
    os.close(master)
    assert process.wait() == 0, said
    return re.sub(r"\x1b\[[0-9;]*m|\r", "", said.decode()).splitlines()


def piped(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


WIDE = [
    "things",
    "name                what it does                                         value  package",
    "a-rather-long-name  short                                                0.125  of a package 0.1.0",
    "name                a sentence that is a good deal longer than that one   12.5",
]


def test_a_row_is_a_line_where_there_is_room_or_no_terminal():
    assert piped(TABLE) == WIDE
    assert under_a_terminal(TABLE, 120) == WIDE


def test_the_widest_text_is_wrapped_under_a_terminal():
    assert under_a_terminal(TABLE, 80) == [
        "things",
        "name                what it does                       value  package",
        "a-rather-long-name  short                              0.125  of a package 0.1.0",
        "name                a sentence that is a good deal      12.5",
        "                    longer than that one",
    ]


def test_a_narrow_terminal_has_the_rest_below_the_name():
    assert under_a_terminal(TABLE, 50) == [
        "things",
        "a-rather-long-name  short",
        "    value: 0.125  package: of a package 0.1.0",
        "name  a sentence that is a good deal longer",
        "    than that one",
        "    value: 12.5",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_name_is_cut_and_no_line_is_longer_than_the_terminal(width):
    lines = under_a_terminal(LIST, width)
    names = {line.split()[0] for line in lines if line.strip()}
    assert max(map(len, lines)) <= width
    assert {entry.name for entry in registry().entries} <= names
    assert "…" not in "".join(lines)


def test_programs_read_one_line_for_each_thing():
    lines = piped(LIST)
    for entry in registry().entries:
        assert any(line.startswith(entry.name) and line.endswith(entry.package) for line in lines), entry.name
    assert not [line for line in lines if line != line.rstrip()]
