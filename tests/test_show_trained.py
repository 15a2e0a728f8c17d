"""`ganzoo show` of what was trained: run folders, checkpoints and files, also such as cannot be used here."""

import json
import shutil

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ganzoo.runfolder import RunFolder


@pytest.fixture(scope="module")
def file(tmp_path_factory, run):
    target = tmp_path_factory.mktemp("file") / "mine.safetensors"
    shutil.copy(RunFolder(run).latest() / "networks.safetensors", target)
    return target


def changed(file, folder, **facts):
    with safe_open(file, "pt") as content:
        known = content.metadata()
    save_file(load_file(file), folder / "other.safetensors", known | facts)
    return folder / "other.safetensors"


def test_a_run_and_its_file(run, file, ganzoo):
    shown = {path: json.loads(ganzoo("show", path, "--json", cwd=run).stdout) for path in (run, file)}
    of_run, of_file = shown.values()
    assert of_run["metrics"] == json.loads((run / "metrics.json").read_text()) and of_file["metrics"] == {}
    for name in ("file", "metrics"):
        del of_run[name], of_file[name]
    assert of_run == of_file
    assert of_run["directions"] == [["A", "B"], ["B", "A"]] and of_run["images"] == 24 and of_run["size"] == 32
    assert of_run["parameters"] == sum(v.numel() for k, v in load_file(file).items() if not k.startswith("ema."))
    assert of_run["bytes"] == file.stat().st_size and of_run["problem"] == "" == of_run["source"]


def test_for_people_and_by_name(run, ganzoo):
    done = ganzoo("show", run, cwd=run, env={"COLUMNS": "120"})
    for words in ("A to B, B to A", "32 x 32 pixels", "Zhu et al. 2017", "cycle_l1"):
        assert words in done.stdout, done
    (run / "cyclegan").mkdir()
    assert "preset" in ganzoo("show", "cyclegan", cwd=run).stdout, "a folder that is no run is not meant"
    (run / "cyclegan").rmdir()


def test_what_cannot_be_used_here_is_shown_with_the_reason(tmp_path, file, ganzoo):
    other = changed(
        file, tmp_path, model="sketchgan", distribution="ganzoo-sketch", licence="CC\u0007-BY \u001b[31m", source="x"
    )
    done = ganzoo("show", other, cwd=tmp_path)
    assert done.returncode == 0 and "\u001b" not in done.stdout, done
    for words in ("CC\\u0007-BY", "not installed here: pip install ganzoo-sketch"):
        assert words in done.stdout, done


def test_what_is_none(tmp_path, ganzoo):
    (tmp_path / "x.safetensors").write_bytes(b"none")
    ganzoo("show", "x.safetensors", cwd=tmp_path).mistake("x.safetensors cannot be read")
    ganzoo("show", "y.safetensors", cwd=tmp_path).mistake("y.safetensors")
