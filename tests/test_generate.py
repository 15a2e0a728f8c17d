"""`ganzoo generate` makes new images of a label, always the same for a seed, and overwrites nothing."""

from pathlib import Path

import pytest
from PIL import Image

RECIPE = {  # black and white squares: the classifier of the evaluation learns them at once
    "model": "cgan",
    "data.size": 8,
    "data.batch": 4,
    "data.channels": 1,
    "options": {"generator_width": 4, "discriminator_width": 4},
    "train.images": 10,  # no multiple of the batch, and
    "train.constant": 1.0,  # no decay
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, recipe, ganzoo):
    folder = tmp_path_factory.mktemp("generate")
    for name, grey in (("black", 0), ("white", 255)):
        for split in ("train", "test"):
            (folder / "squares" / split / name).mkdir(parents=True)
            for i in range(4):
                Image.new("L", (8, 8), grey).save(folder / "squares" / split / name / f"{i}.png")
    recipe(folder, RECIPE | {"data.root": str(folder / "squares")})
    done = ganzoo("run", "tiny.toml", "--out", "run", cwd=folder)
    assert done.returncode == 0, done
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_pictures_depend_on_the_seed_and_the_label(place, ganzoo):
    made = {}
    for out, options in {
        "three": ["--count", 3, "--label", "white"],
        "again": ["--count", 2, "--label", "white"],
        "other": ["--count", 2, "--label", "white", "--seed", 1],
        "black": ["--count", 2, "--label", "black"],
        "any": ["--count", 2],
    }.items():
        done = ganzoo("generate", "run", out, *options, cwd=place)
        assert done.returncode == 0, done
        made[out] = contents(place / out)
    assert list(made["three"]) == ["000.png", "001.png", "002.png"]
    assert made["three"]["000.png"] != made["three"]["001.png"]
    assert made["again"].items() < made["three"].items()
    for out in ("other", "black"):
        assert all(made[out][name] != made["again"][name] for name in made["again"])
    with Image.open(place / "three" / "000.png") as image:
        assert (image.size, image.mode) == ((8, 8), "L")


def test_nothing_is_overwritten(place, ganzoo):
    (place / "full").mkdir()
    (place / "full" / "001.png").write_text("mine")
    ganzoo("generate", "run", "full", "--count", 2, cwd=place).mistake("001.png exists and is not overwritten")
    assert contents(place / "full") == {"001.png": b"mine"}


def test_mistakes_are_told(place, ganzoo):
    ganzoo("generate", "run", "out", "--label", "whit", cwd=place).mistake('Did you mean "white"?', "black, white")
    ganzoo("generate", "run", "tiny.toml", cwd=place).mistake("is a file")
    ganzoo("generate", "nowhere", "out", cwd=place).mistake("There is no run nowhere")
    ganzoo("translate", "run", "squares", "out", cwd=place).mistake("translates no images", "ganzoo generate RUN")
    assert not (place / "out").exists()


def test_metrics_of_generated_images(place):
    assert '"target_accuracy"' in (place / "run" / "metrics.json").read_text()


def test_a_model_of_one_image_writes_one(tmp_path, recipe, ganzoo):
    changes = {"model": "style", "options": {"features": "random", "feature_width": 2}, "data.batch": 1}
    recipe(tmp_path, changes | {"train.images": 1, "data.size": 16})
    assert ganzoo("run", "tiny.toml", "--out", "run", cwd=tmp_path).returncode == 0
    done = ganzoo("generate", "run", "out", cwd=tmp_path)
    assert done.returncode == 0 and "1 new image: out" in done.stdout, done
    assert list(contents(tmp_path / "out")) == ["000.png"]
    ganzoo("generate", "run", "more", "--count", 2, cwd=tmp_path).mistake("generates 1 image, not 2")
    done = ganzoo("compare", "run", "run", "--out", "both.html", cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "both.html").exists(), done
