"""ganzoo bench: what it measures, as a table and as JSON, and two measurements side by side."""

import json

import pytest

from ganzoo import bench
from ganzoo.errors import GanzooError


@pytest.fixture(scope="module")
def measured(tmp_path_factory, ganzoo, recipe):
    """What `--json` prints of three steps of the tiny recipe, and of two with what fits."""
    folder = tmp_path_factory.mktemp("bench")
    recipe(folder)
    for name, args in (("before", ("--steps", "3")), ("after", ("--steps", "2", "--fit"))):
        done = ganzoo("bench", "tiny.toml", *args, "--json", cwd=folder)
        assert done.returncode == 0, done
        (folder / f"{name}.json").write_text(done.stdout)
    return folder


def test_it_measures_a_step_beside_that_of_a_bare_loop(measured):
    found = bench.read(measured / "before.json")
    assert (found.recipe, found.size, found.batch, found.steps, found.fit) == ("tiny", 32, 2, 3, None)
    assert found.images_per_s == pytest.approx(2 / found.seconds_per_step)
    assert found.seconds.keys() == {"data", "G", "D"}
    assert 0 < sum(found.seconds.values()) < 1.5 * found.seconds_per_step
    assert found.bare_seconds > 0
    assert 100 < found.bare_operators < found.operators < 1.3 * found.bare_operators
    assert found.tflops_per_s > 0
    assert found.memory_gb > 0.1


def test_what_fits_follows_from_how_the_memory_grows(measured):
    fit = bench.read(measured / "after.json").fit
    assert fit.free_gb > 0
    assert fit.batch > 2
    assert fit.size > 32
    assert fit.size % 4 == 0


def test_two_measurements_are_shown_with_their_ratio(measured, ganzoo):
    done = ganzoo("bench", "--compare", "before.json", "after.json", cwd=measured)
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    assert lines[0].startswith("before: tiny at 32 px, batch 2, on cpu, 1 thread, 32, 3 steps")
    before, after = (json.loads((measured / f"{name}.json").read_text()) for name in ("before", "after"))
    speeds = [one["images_per_s"] for one in (before, after)]
    (shown,) = (line.split()[1:] for line in lines if line.startswith("images/s"))
    assert shown == [*(f"{speed:.2f}" for speed in speeds), f"{speeds[1] / speeds[0]:.2f}"]
    assert any(line.startswith("largest batch") for line in lines)


def test_mistakes_are_told(measured, ganzoo):
    ganzoo("bench", cwd=measured).mistake("Give a RECIPE")
    ganzoo("bench", "tiny.toml", "--compare", "before.json", "after.json", cwd=measured).mistake("Give a RECIPE")
    for text in ("no", '{"images_per_s": "fast"}'):
        (measured / "other.json").write_text(text)
        with pytest.raises(GanzooError, match="does not hold the figures of a measurement"):
            bench.read(measured / "other.json")
    with pytest.raises(GanzooError, match="No such file"):
        bench.read(measured / "missing.json")
