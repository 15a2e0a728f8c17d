"""A grid of real runs: killed, gone on with, and its statistics against numbers worked out apart."""

import csv
import json
import math
import os
import signal
from pathlib import Path

import pytest

from ganzoo import sweep
from ganzoo.errors import GanzooError

SWEEP = ("sweep", "tiny.toml", "--set", "options.cycle=5,10", "--seeds", 3, "--out", "all", "--at-once", 2)


@pytest.fixture(scope="module")
def swept(tmp_path_factory, start, recipe):
    """Two settings with three seeds each, after a kill in the middle and going on."""
    folder = tmp_path_factory.mktemp("sweep")
    recipe(folder, {"train.images": 4, "train.checkpoint_every": 2, "train.sample_every": 4, "train.log_every": 2})
    begun = start(*SWEEP, cwd=folder)
    begun.until(lambda: len(list((folder / "all").glob("*/*/checkpoints/*/state.json"))) >= 3)
    begun.send(signal.SIGKILL)  # to all that it has started, too
    begun.wait()
    before = {path: path.stat().st_mtime_ns for path in finished(folder / "all")}
    assert len(before) < 6
    again = start(*SWEEP, cwd=folder).wait()
    assert again.returncode == 0, again
    assert f"6 runs in all, {len(before)} of them finished." in again.stdout
    assert all(path.stat().st_mtime_ns == changed for path, changed in before.items())  # not trained again
    return folder


def finished(folder: Path) -> list[Path]:
    return [p for p in folder.glob("*/*/status.json") if json.loads(p.read_text()).get("state") == "finished"]


def test_all_settings_and_seeds_are_trained(swept):
    names = {f"tiny-cycle={cycle}/seed-{seed}" for cycle in (5, 10) for seed in range(3)}
    assert {str(path.parent.relative_to(swept / "all")) for path in finished(swept / "all")} == names
    for name in names:
        text = (swept / "all" / name / "recipe.toml").read_text()
        assert f"seed = {name[-1]}" in text and f"cycle = {float(name[11 : name.index('/')])}" in text


def test_mean_and_deviation_over_the_seeds(swept, ganzoo):
    told = ganzoo("compare", "all", "--out", "page.html", "--csv", "table.csv", cwd=swept)
    rows = {(r["direction"], r["metric"], r["setting"]): r for r in csv.DictReader((swept / "table.csv").open())}
    as_json = json.loads(ganzoo("compare", "all", "--json", cwd=swept).stdout)
    for (direction, metric, setting), row in rows.items():
        several = [
            json.loads((swept / "all" / setting / f"seed-{seed}" / "metrics.json").read_text())[direction][metric]
            for seed in range(3)
        ]
        mean = sum(several) / 3
        deviation = math.sqrt(sum((value - mean) ** 2 for value in several) / 2)
        assert float(row["mean"]) == pytest.approx(mean) and float(row["deviation"]) == pytest.approx(deviation)
        assert as_json[direction][metric][setting] == pytest.approx({"mean": mean, "deviation": deviation, "seeds": 3})
    means = {s: float(r["mean"]) for (d, m, s), r in rows.items() if (d, m) == ("A->B", "cycle_l1")}
    better = min(means, key=means.get)
    page = (swept / "page.html").read_text()
    assert page.count("<img") == 2 and 'class="best"' in page
    lines = [line for line in told.stdout.splitlines() if line.split()[:1] == [better]]
    assert len(lines) == 2 and "*" in lines[0]


def test_a_sweep_is_not_mixed_with_another(swept, ganzoo):
    ganzoo(*SWEEP[:3], "options.cycle=5,20", *SWEEP[4:], cwd=swept).mistake("all holds another sweep")
    (swept / "mine").mkdir()
    (swept / "mine" / "notes.txt").write_text("x")
    ganzoo(*SWEEP[:6], "--out", "mine", cwd=swept).mistake("mine exists and is not overwritten")


@pytest.mark.parametrize(
    "forged", [None, 5, [5], [{"setting": "../other", "seed": 0, "arguments": []}], [{"setting": "x", "seed": "y"}]]
)
def test_a_plan_that_is_none(tmp_path, forged):
    (tmp_path / "sweep.json").write_text(json.dumps({"jobs": forged}))
    with pytest.raises(GanzooError, match="is not the plan of a sweep"):
        sweep.summarise(tmp_path)


def test_a_script_for_slurm_runs_one_of_them_for_each_task(swept, ganzoo):
    ganzoo(*SWEEP, "--slurm", "job.sh", cwd=swept)
    script = (swept / "job.sh").read_text()
    assert "#SBATCH --array=0-5\n" in script and os.access(swept / "job.sh", os.R_OK)
    assert (
        "exec ganzoo sweep tiny.toml --set options.cycle=5,10 --seeds 3 --out all --at-once 2 --only $SLURM" in script
    )
    assert "1 runs in all, 1 of them finished." in ganzoo(*SWEEP, "--only", 5, cwd=swept).stdout
    ganzoo(*SWEEP, "--only", 6, cwd=swept).mistake("There is no run number 6")


def test_a_stop_saves_what_runs(tmp_path, start, recipe):
    recipe(tmp_path, {"train.images": 100_000, "train.checkpoint_every": 100_000})
    begun = start(*SWEEP, cwd=tmp_path)
    begun.until(lambda: len(list((tmp_path / "all").glob("*/*/log.jsonl"))) == 2)
    os.kill(begun.pid, signal.SIGTERM)  # to the sweep alone
    ended = begun.wait()
    assert ended.returncode == 143 and "Stopped. Go on with the same command." in ended.stderr
    assert len(list((tmp_path / "all").glob("*/*/checkpoints/*/state.json"))) == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("5,10", ["5", "10"]),
        ("lsgan,wgan-gp", ["lsgan", "wgan-gp"]),
        ('["a", "b"],["c"]', ['["a", "b"]', '["c"]']),
        ("true", ["true"]),
    ],
)
def test_values(text, found):
    assert sweep.values(text) == found


def test_mistakes_are_told_before_anything_is_trained(tmp_path, recipe):
    path = recipe(tmp_path)
    with pytest.raises(GanzooError, match=r"options\.cycle"):
        sweep.plan([path], ["options.cycle=5,-1"], 1)
    with pytest.raises(GanzooError, match="should be KEY=VALUE,VALUE"):
        sweep.plan([path], ["options.cycle"], 1)
    with pytest.raises(GanzooError, match="would both be called"):
        sweep.plan([path, path], [], 1)
