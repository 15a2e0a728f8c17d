"""The report while a run goes on: written again and again, and read again by the browser that shows it."""

import re
import signal
import time

import pytest
from PIL import Image

from ganzoo import report
from ganzoo.clock import due_early

WAIT = 60_000  # milliseconds until the browser is taken to see nothing new


def test_early_samples_are_at_powers_of_two_until_the_regular_ones():
    assert [i for i in range(1, 2000) if due_early(i, 1, 300)] == [16, 32, 64, 128, 256]
    assert [i for i in range(6, 600, 6) if due_early(i, 6, 200)] == [18, 36, 66, 132]
    assert [i for i in range(64, 6400, 64) if due_early(i, 64, 1000)] == [64, 128, 256, 512]
    assert not any(due_early(i, 1, 12) for i in range(100))


@pytest.fixture(scope="module")
def live(tmp_path_factory, recipe, start):
    """A run that takes days, its page being there."""
    folder = tmp_path_factory.mktemp("live")
    changes = {"train.images": 400_000_000, "train.log_every": 2, "train.checkpoint_every": 400_000}
    recipe(folder, changes | {"train.sample_every": 400_000})
    process = start("run", "tiny.toml", "--out", "out", cwd=folder)
    process.until((folder / "out" / "report.html").exists)
    return folder / "out", process


def test_the_page_follows_the_run_by_itself(live, browser):
    run, process = live
    page = browser.new_page(viewport={"width": 390, "height": 500})
    page.goto((run / "report.html").as_uri())
    first = page.evaluate("({ at: +updated.dataset.at, samples: document.querySelectorAll('#stage img').length })")
    page.evaluate("scrollTo(0, 300)")
    grown = "s => +updated.dataset.at > s.at && document.querySelectorAll('#stage img').length > s.samples + 1"
    page.wait_for_function(grown, arg=first, timeout=WAIT)
    assert page.evaluate("scrollY") == 300
    assert page.inner_text(".pill") == "running" and page.locator("#updated").get_attribute("data-live") is not None
    assert re.search(r", \d+ s ago$", page.inner_text("#updated"))
    assert page.inner_text("#where") == page.locator("#stage img").last.get_attribute("alt").split("after ")[1][:-5]

    page.click("#prev")
    earlier = page.inner_text("#where")
    page.click(".legend button >> nth=0")
    process.send(signal.SIGINT)
    assert process.wait().returncode == 130
    page.wait_for_selector(".pill.stopped", timeout=WAIT)
    assert page.inner_text("#where") == earlier
    assert page.locator(".legend button >> nth=0").get_attribute("aria-pressed") == "false"
    assert page.evaluate("document.body.dataset.error") is None
    page.evaluate("window.before = 'the same page'")
    page.wait_for_timeout(6500)  # longer than a running one waits at first
    assert page.evaluate("window.before") == "the same page"
    page.close()


def test_a_run_of_days_says_so_once(live):
    _, process = live
    said = process.so_far.stdout
    assert len(re.findall(r"This will take about [\d,]+ days here, at [\d.e+]+ images/s\. A GPU is many", said)) == 1
    assert all(word in said for word in ("--quick", "data.size", "train.images"))


def test_a_grid_is_encoded_once(live):
    run, _ = live
    page = report.write(run).read_text()
    began = time.process_time()
    assert report.write(run).read_text().count("data:image") == page.count("data:image") > 2
    again = time.process_time() - began
    report._encoded.cache_clear()
    began = time.process_time()
    report.write(run)
    assert again < time.process_time() - began
    newest = max((run / "samples").iterdir())
    Image.new("RGB", (77, 55)).save(newest)  # of a run that went back to a checkpoint
    assert "width: 154px" in report.write(run).read_text()
