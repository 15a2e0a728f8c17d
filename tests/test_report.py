"""The page of a run: complete, self-contained, safe with hostile names, and alive in a real browser."""

import base64
import html
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganzoo import GanzooError, report

HOSTILE = """</script><script>document.body.dataset.error="pwned"</script><b>"&'x"""
TERMS = {"G": ["fool_photo", "fool_painting", "cycle_photo", "identity_photo"], "D": ["photo", "painting"]}


def log_line(images: int, **more: Any) -> dict[str, Any]:
    terms = {phase: {name: len(name) / (images + 1) for name in names} for phase, names in TERMS.items()}
    return {"images": images, "terms": terms, "lr": {"G": 2e-4, "D": 1e-4}, "seconds": images / 12,
            "images_per_s": 12.5, "memory_gb": 1.9} | more  # fmt: skip


def save_grids(run: Path, images: list[int]) -> None:
    """Sample grids of one colour each, 3 levels of red apart, so that an embedded one can be told by its colour."""
    (run / "samples").mkdir(parents=True, exist_ok=True)
    for i, seen in enumerate(images):
        image = np.full((60, 100, 3), (3 * i, 128, 128), np.uint8)
        Image.fromarray(image).save(run / "samples" / f"{seen:09d}.png")


def save_log(run: Path, lines: list[dict[str, Any]], tail: str = "") -> None:
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = tmp_path / "monet-1"
    save_grids(run, [100 * (i + 1) for i in range(60)])
    (run / "checkpoints" / "000006000").mkdir(parents=True)
    save_log(run, [log_line(10 * (i + 1)) for i in range(600)], '{"images": 6010, "terms": {"G"')
    (run / "recipe.toml").write_text(
        '# resolved\nmodel = "cyclegan"\n[data]\nname = "monet2photo"\nsource = "https://example.org/a.zip"\n'
        "[options]\ncycle = 10.0\n[options.weights]\nphoto = 0.25\n"
        "[train]\nimages = 40000\nlr = 0.00012345\nseed = 12345\n"
    )
    env = {"ganzoo": "0.1.0", "device": "cpu", "processes": 1, "plugin": {"distribution": "ganzoo-cyclegan"},
           "history": [{"command": "ganzoo run monet.toml", "time": "2025-11-20T09:14:02+00:00"}], "odd": "kept",
           "fallback": None}  # fmt: skip
    (run / "env.json").write_text(json.dumps(env))
    (run / "status.json").write_text('{"state": "running", "images": 6000, "message": "all is well"}')
    both = {"l1": 0.1, "l1_identity": 0.2, "ssim": 0.5, "ssim_identity": 0.75, "fid": 91.5}
    (run / "metrics.json").write_text(json.dumps({"photo->painting": both}))
    return run


def embedded(page: str) -> list[Image.Image]:
    codes = re.findall(r'src="data:image/webp;base64,([^"]+)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(code))) for code in codes]


def charts(page: str) -> list[dict[str, Any]]:
    (data,) = re.findall(r'<script type="application/json" id="charts">(.*?)</script>', page)
    return json.loads(data, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def write(run: Path) -> str:
    path = report.write(run)
    assert path == run / "report.html"
    return path.read_text(encoding="utf-8")


def test_shows_everything(run: Path) -> None:
    page = html.unescape(write(run))
    for names in TERMS.values():
        assert all(name in page for name in names)
    for text in ("cyclegan", "monet-1", "running", "all is well", "6,000 of 40,000 images seen", "8 min 20 s", "12.5",
                 "1, latest 6,000", "weights.photo", "0.25", "0.00012345", ">12345<",
                 "plugin.distribution", "ganzoo-cyclegan", "odd", "kept",
                 "photo → painting", "identity baseline", "0.1 ✓", "0.5 ✗", "91.5", "24 of 60 sample grids",
                 f"ganzoo run {run}/recipe.toml", f"ganzoo translate {run} INPUT OUTPUT"):  # fmt: skip
        assert text in page, text
    assert 'class="banner"' not in page


def test_is_self_contained(run: Path) -> None:
    page = write(run)
    assert not re.search(r"<(link|iframe|object|embed|base)\b|@import|url\((?!#)", page)
    assert not re.search(r"""\b(src|href|srcset|action|poster)\s*=\s*["']?(?!data:)\w""", page.split("<script")[0])
    assert re.findall(r"https?://[^<\s]*", page) == ["https://example.org/a.zip"]  # the recipe's, as plain text
    assert "default-src 'none'" in page


def test_embeds_first_and_last_grid_and_at_most_24(run: Path) -> None:
    page = write(run)
    images = embedded(page)
    reds = [int(np.median(np.asarray(image)[..., 0].astype(int))) for image in images]
    assert len(images) == 24
    assert abs(reds[0]) <= 4 and abs(reds[-1] - 3 * 59) <= 4
    gaps = np.diff([int(seen) for seen in re.findall(r'data-images="(\d+)"', page)])
    assert set(gaps) <= {200, 300} and gaps.sum() == 5900


def test_shrinks_wide_grids_and_leaves_out_broken_ones(run: Path) -> None:
    shutil.rmtree(run / "samples")
    save_grids(run, [1, 2])
    Image.new("RGB", (3200, 400)).save(run / "samples" / "000000003.png")
    (run / "samples" / "000000002.png").write_bytes((run / "samples" / "000000003.png").read_bytes()[:90])
    large = (run / "samples" / "000000003.png").read_bytes().replace(struct.pack(">II", 3200, 400), b"\0\0\x75\x30" * 2)
    head = large[12:29]  # 30,000 x 30,000 pixels
    (run / "samples" / "000000004.png").write_bytes(large[:29] + struct.pack(">I", zlib.crc32(head)) + large[33:])
    (run / "samples" / "notes.txt").write_text("no image")
    assert [image.size for image in embedded(write(run))] == [(100, 60), (1600, 200)]


def test_charts_are_decimated_and_keep_the_ends(run: Path) -> None:
    losses_g, losses_d, rates, speed = charts(write(run))
    assert [s["name"] for s in losses_g["series"]] == TERMS["G"] and [s["name"] for s in rates["series"]] == ["G", "D"]
    for chart in (losses_g, losses_d, rates, speed):
        assert len(chart["x"]) == 300 and chart["x"][-1] == 6000
        assert all(len(s[key]) == 300 for s in chart["series"] for key in ("lo", "hi", "mid"))
    photo = losses_d["series"][0]
    assert photo["hi"][0] == pytest.approx(5 / 11, rel=1e-4) and photo["lo"][-1] == pytest.approx(5 / 6001, rel=1e-4)
    assert all(low <= high for low, high in zip(photo["lo"], photo["hi"], strict=True))
    assert rates["series"][0]["mid"] == pytest.approx([2e-4] * 300)


def test_log_of_a_resumed_run_and_values_that_are_not_numbers(run: Path) -> None:
    lines = [log_line(images) for images in (10, 20, 30, 40)] + [log_line(20), log_line(30)]
    lines[-1]["terms"]["D"] = {"photo": float("nan"), "late": 7.0}
    save_log(run, lines, "12\n[]\n\nrubbish\n")
    page = write(run)
    losses_d = charts(page)[1]
    assert losses_d["x"] == [10, 20, 30]
    assert [s["mid"] for s in losses_d["series"] if s["name"] == "late"] == [[None, None, 7.0]]
    assert losses_d["strange"] == 1 and "1 logged value is not a finite number" in page


@pytest.mark.parametrize("touch", [False, True], ids=["missing", "empty"])
def test_run_that_has_just_started(tmp_path: Path, touch: bool) -> None:
    if touch:
        for name in ("recipe.toml", "env.json", "log.jsonl", "metrics.json", "status.json"):
            (tmp_path / name).touch()
        for name in ("samples", "checkpoints"):
            (tmp_path / name).mkdir()
    page = write(tmp_path)
    for text in ("No sample grids yet", "Nothing logged yet", "No metrics yet", "No settings", "No environment"):
        assert text in page
    assert "could not be read" not in page


def test_broken_files_are_named(run: Path) -> None:
    (run / "env.json").write_text("{")
    (run / "recipe.toml").write_text("model = ")
    page = write(run)
    assert "could not be read: env.json" in page and "could not be read: recipe.toml" in page


def test_fallback_banner(run: Path) -> None:
    fallback = {"wanted": "monet2photo", "used": "landscapes", "because": "The server did not answer."}
    (run / "env.json").write_text(json.dumps({"fallback": fallback}))
    page = write(run)
    assert 'class="banner"' in page and "The server did not answer." in page
    assert "Not trained on monet2photo: this run used landscapes instead" in page


def make_hostile(run: Path) -> None:
    save_log(run, [log_line(i + 1, terms={HOSTILE: {HOSTILE: i, "a": -i}}, lr={HOSTILE: 1}) for i in range(5)])
    text = json.dumps(HOSTILE)
    (run / "recipe.toml").write_text(f"model = {text}\n[data]\n{text} = {text}\n[train]\nimages = 9\n")
    fallback = {"wanted": HOSTILE, "used": HOSTILE, "because": HOSTILE}
    history = [{"command": HOSTILE, "host": HOSTILE, "time": 5, "warnings": [HOSTILE, None]}, HOSTILE, {"warnings": 5}]
    env = {"device": HOSTILE, "history": history, HOSTILE: 1, "fallback": fallback}
    (run / "env.json").write_text(json.dumps(env))
    (run / "metrics.json").write_text(json.dumps({HOSTILE: {HOSTILE: 1, "l1": HOSTILE}, "note": HOSTILE}))
    (run / "status.json").write_text(json.dumps({"state": HOSTILE, "images": HOSTILE, "message": HOSTILE}))


def test_hostile_names_are_escaped(run: Path) -> None:
    make_hostile(run)
    run = run.rename(run.with_name("<b> \"run\" & 'more'"))
    page = write(run)
    assert "<b>" not in re.sub(r"<figcaption><b>|<b>Not trained", "", page).split("<script")[0]
    assert page.count("<script") == page.count("</script>") == 2
    assert charts(page)[0]["series"][0]["name"] == HOSTILE


def test_rewriting_replaces_in_one_step(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write(run)
    inode = (run / "report.html").stat().st_ino
    (run / "status.json").write_text('{"state": "finished"}')
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(GanzooError, match=r"report.html cannot be written \(disk full\)"):
            report.write(run)
    assert (run / "report.html").read_text(encoding="utf-8") == first
    before = {path.name for path in run.iterdir()}
    assert "finished" in write(run) and (run / "report.html").stat().st_ino != inode
    assert {path.name for path in run.iterdir()} == before


def test_does_not_import_torch() -> None:
    code = "import sys, ganzoo.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(report.__file__).parents[1]).returncode == 0


def opened(browser, page: Path):
    """The page in a browser, its script having run without an error."""
    tab = browser.new_page(viewport={"width": 1200, "height": 1000})
    tab.goto(page.as_uri())
    assert tab.evaluate("document.body.dataset.ready") == "yes"
    assert tab.evaluate("document.body.dataset.error") is None
    return tab


def test_script_runs_in_a_browser(run: Path, browser) -> None:
    tab = opened(browser, report.write(run))
    lines = tab.locator("path.mid")
    assert lines.count() == 9  # 4 terms of G, 2 of D, 2 learning rates, the speed
    assert tab.inner_text("#where") == "6,000 images"
    tab.keyboard.press("ArrowLeft")
    tab.click("#prev")
    assert tab.inner_text("#where") == "5,500 images"
    tab.click(".legend button >> nth=0")
    assert lines.count() == 8
    tab.hover("svg >> nth=0")
    assert re.match(r"\d,\d+ images", tab.inner_text(".tip >> nth=0"))
    tab.click("#stage")
    assert tab.locator("#stage img.on").count() == 1 and tab.locator("dialog[open]").count() == 1
    assert tab.evaluate("document.body.dataset.error") is None
    tab.close()


@pytest.mark.parametrize("kind", ["hostile", "empty"])
def test_odd_pages_run_in_a_browser(run: Path, browser, kind: str) -> None:
    if kind == "hostile":
        make_hostile(run)
    else:
        shutil.rmtree(run)
        run.mkdir()
    opened(browser, report.write(run)).close()
