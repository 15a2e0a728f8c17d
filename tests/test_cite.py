"""What to cite: valid BibTeX of every model's paper and of ganzoo, and a citation file that fits its format."""

import re
from pathlib import Path

import pytest
import yaml

from ganzoo.registry import registry

ROOT = Path(__file__).parent.parent
OURS = [
    e
    for e in registry().entries
    if e.type == "model" and e.distribution in {p.name for p in (ROOT / "plugins").iterdir()}
]


def parsed(text):
    """Entries of BibTeX: key -> fields. Fails where braces do not match or something stands between entries."""
    entries = {}
    while text := text.lstrip():
        key = re.match(r"@\w+\{(\w+),\n", text)[1]
        depth, end = 0, 0
        while end == 0 or depth:
            end = next(i for i, letter in enumerate(text) if i >= end and letter in "{}") + 1
            depth += 1 if text[end - 1] == "{" else -1
        entries[key] = dict(re.findall(r"^  (\w+) = \{(.*?)\},$", text[:end], flags=re.MULTILINE | re.DOTALL))
        text = text[end:]
    return entries


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: entry.name)
def test_every_model_has_bibtex_that_agrees_with_its_paper(entry):
    for paper, fields in zip(entry.facts["paper"].split("; "), parsed(entry.facts["bibtex"]).values(), strict=True):
        first, year = re.match(r"(\w+) .*?(\d{4})", paper).groups()
        assert fields["author"].startswith(f"{first}, ")
        assert abs(int(fields["year"]) - int(year)) <= 1  # a preprint comes out before its conference
        assert len(fields["title"]) > 20
        if arxiv := re.search(r"arXiv:(\d{4}\.\d+)", paper):
            assert fields["eprint"] == arxiv[1]


def test_cite_a_model_a_run_and_what_nobody_knows(ganzoo, recipe, tmp_path):
    told = parsed(ganzoo("cite", "cyclegan", cwd=tmp_path).stdout)
    assert list(told) == ["zhu2017cyclegan", "ganzoo"]
    assert told["ganzoo"]["version"] == yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    recipe(tmp_path, {"train.images": 2})
    ganzoo("run", "tiny.toml", "--out", "run", cwd=tmp_path)
    assert parsed(ganzoo("cite", "run", cwd=tmp_path).stdout) == told
    assert "Zhu et al. 2017, arXiv:1703.10593" in (tmp_path / "run" / "report.html").read_text()
    ganzoo("cite", "cyclegam", cwd=tmp_path).mistake('Did you mean "cyclegan"?')


def test_the_citation_file_has_what_its_format_demands():
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert told["cff-version"] == "1.2.0" and told["title"].startswith("ganzoo") and told["message"]
    assert all("name" in author or "family-names" in author for author in told["authors"])
    assert f'version = "{told["version"]}"' in (ROOT / "pyproject.toml").read_text()
