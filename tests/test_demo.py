"""`ganzoo demo` in a real browser: what the page shows is what the model gives, and nothing is loaded from outside."""

import base64
import io
import re
import signal
import socket
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops

from ganzoo import GanzooError, checkpoint, recipe
from ganzoo.demo import listen, names
from ganzoo.trainer import DataSpec
from ganzoo.translate import load

WAIT = 60_000  # milliseconds until the page is taken to hang
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DROP = """([content, name]) => { const files = new DataTransfer();
    files.items.add(new File([Uint8Array.from(atob(content), c => c.charCodeAt(0))], name, { type: "image/png" }));
    return files; }"""
LABELS = DataSpec(("image",), {"image": 3}, 32, ("black", "blond", "young"), (("black", "blond"),))
UNTRAINED = {
    "stargan": (
        LABELS,
        {
            "generator": {"name": "stargan", "width": 4, "blocks": 1},
            "discriminator_width": 4,
            "discriminator_layers": 3,
        },
    ),
    "starganv2": (
        DataSpec(("cat", "dog", "wild"), dict.fromkeys(("cat", "dog", "wild"), 3), 32),
        {"width": 4, "max_width": 8, "hidden": 8, "style": 6, "latent": 5},
    ),
    "cgan": (LABELS, {"generator_width": 4, "discriminator_width": 4}),
}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory, run):
    """A folder of models: two of them trained, two with styles or labels, one that generates."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "trained").symlink_to(run)
    for model, (spec, options) in UNTRAINED.items():
        data = {"source": "folders", "size": 32, "batch": 2, "domains": list(spec.domains)}
        document = {"model": model, "data": data, "options": options, "train": {"images": 8}}
        if spec.labels:
            del data["domains"]
        made = recipe.parse(document)
        torch.manual_seed(0)
        weights = made.trainer(made.options, spec).state_dict()
        checkpoint.save(folder / model, weights, {}, checkpoint.about(made, spec, 8))
    return folder


@pytest.fixture(scope="module")
def open_page(zoo, start, browser):
    """`open_page(models..., is_mobile=...)` serves them, once, and gives a new tab that noted its requests."""
    served = {}

    def serve(*models, **viewport):
        if models not in served:
            process = start("demo", *models, "--port", 0, "--device", "cpu", cwd=zoo)
            process.until(lambda: "http" in process.so_far.stdout)
            served[models] = process, re.search(r"http://127\.0\.0\.1:\d+", process.so_far.stdout)[0]
        process, address = served[models]
        tab = browser.new_page(**viewport)
        tab.set_default_timeout(WAIT)
        tab.asked = []
        tab.on("request", lambda request: tab.asked.append(request.url))
        tab.goto(address)
        tab.wait_for_selector("h1")
        return tab, process

    return serve


TWO = ("trained", "trained/checkpoints/000000010")


@pytest.fixture(scope="module")
def photograph():
    """An image of odd sides, and it as PNG."""
    image = Image.fromarray((np.random.default_rng(0).random((37, 53, 3)) * 255).astype(np.uint8))
    image.save(file := io.BytesIO(), "PNG")
    return image, file.getvalue()


def drop(tab, where, name, content):
    """Drops a file there, as the mouse does."""
    area = tab.wait_for_selector(f"{where} button:has(input[type=file])")
    area.dispatch_event("drop", {"dataTransfer": tab.evaluate_handle(DROP, [base64.b64encode(content).decode(), name])})


def downloaded(tab, place=0):
    """The image behind a Download button, and its name."""
    button = tab.locator("a:has-text('Download'), button:has-text('Download')").nth(place)
    with tab.expect_download() as download:
        button.click()
    with Image.open(download.value.path()) as image:
        return image.convert("RGB"), download.value.suggested_filename


def same(one, other):
    return one.size == other.size and not ImageChops.difference(one, other).getbbox()


def until(tab, place, right):
    """The image and the name that are offered there, once `right(image, name)` holds."""
    for _ in range(200):
        image, name = downloaded(tab, place)
        if right(image, name):
            return image, name
        tab.wait_for_timeout(100)
    raise AssertionError(f"it stays {name}")


def test_two_models_translate_what_is_dropped_side_by_side(open_page, zoo, photograph):
    tab, _ = open_page(*TWO, viewport={"width": 1280, "height": 900})
    image, content = photograph
    drop(tab, "#image", "holiday.png", content)
    tab.wait_for_function("() => document.querySelectorAll('.slider-wrap img').length == 4")
    tab.wait_for_function(
        "() => [...document.querySelectorAll('button, a')].filter(b => b.innerText == 'Download').length == 2"
    )
    models = [load(zoo / model) for model in TWO]
    for place, model in enumerate(models):
        made, name = downloaded(tab, place)
        assert same(made, model.translate(image, "B")) and name == "holiday_B.png"
    left, right = (slider.bounding_box() for slider in tab.locator(".slider-wrap").all())
    assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]
    tab.click("text=B → A")
    made, _ = until(tab, 0, lambda image, name: name == "holiday_A.png")
    assert same(made, models[0].translate(image, "A"))
    tab.close()


def test_nothing_is_asked_of_other_machines(open_page, photograph):
    tab, _ = open_page(*TWO)
    drop(tab, "#image", "holiday.png", photograph[1])
    tab.wait_for_selector("text=Download")
    hosts = {urlsplit(url).hostname for url in tab.asked if not url.startswith(("data:", "blob:"))}
    assert hosts == {"127.0.0.1"} and len(tab.asked) > 5
    policy = tab.request.get(tab.url).headers["content-security-policy"]
    assert policy.startswith("default-src 'self'") and "http" not in policy
    tab.close()


def test_a_broken_upload_is_a_sentence_on_a_phone(open_page, photograph):
    tab, _ = open_page(*TWO, **PHONE)
    tab.set_input_files(
        "#image input[type=file]", {"name": "<b>.png", "mimeType": "image/png", "buffer": photograph[1][:99]}
    )
    said = tab.wait_for_selector(".mistake").inner_text()
    assert said.startswith("<b>.png cannot be read as an image (") and said.endswith(").")
    assert tab.locator("text=Download").count() == 0
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    tab.close()


def test_labels_references_seeds_and_new_images(open_page, zoo, photograph):
    tab, _ = open_page("stargan", "starganv2", "cgan")
    labelled, styled, generating = (load(zoo / model) for model in UNTRAINED)
    image, content = photograph
    drop(tab, "#image", "me.png", content)
    tab.wait_for_function(
        "() => [...document.querySelectorAll('button, a')].filter(b => b.innerText == 'Download').length == 2"
    )
    made, name = downloaded(tab, 0)
    assert same(made, labelled.translate(image, "black")) and name == "me_black.png"
    tab.click("label:has-text('no-young')")
    made, _ = until(tab, 0, lambda image, name: name == "me_black_no-young.png")
    assert same(made, labelled.translate(image, "black,no-young"))

    by_seed, by_reference = (
        styled.translate(image, "dog", "cat", **style) for style in ({"seed": 0}, {"reference": image})
    )
    assert same(downloaded(tab, 1)[0], by_seed) and not same(by_seed, by_reference)
    drop(tab, "#reference", "reference.png", content)
    until(tab, 1, lambda image, name: same(image, by_reference))

    tab.click("text=Generate")
    tab.wait_for_function("() => document.querySelectorAll('.grid-container img').length == 16")
    seed = int(tab.locator("#seed input").last.input_value())
    sent = tab.request.get(tab.locator(".grid-container img").nth(3).get_attribute("src")).body()
    assert same(Image.open(io.BytesIO(sent)).convert("RGB"), list(generating.generate(None, None, seed))[3])
    tab.close()


def test_ctrl_c_leaves_nothing_behind(open_page, zoo):
    """With the page still open, while it translates, and with images in the temporary folder."""
    tab, process = open_page(*TWO)
    Image.new("RGB", (3000, 3000)).save(large := io.BytesIO(), "PNG")
    drop(tab, "#image", "holiday.png", large.getvalue())
    tab.wait_for_selector("text=/processing|Download/")
    [folder] = Path(tempfile.gettempdir()).glob(f"ganzoo-demo-{process.pid}-*")
    assert list(folder.rglob("holiday.png"))
    process.send(signal.SIGINT)
    done = process.wait()
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.count("\n") == 1 and not folder.exists()
    tab.close()


def test_mistakes_are_sentences(zoo, ganzoo, tmp_path):
    ganzoo("demo", "nowhere", cwd=zoo).mistake("nowhere")
    (tmp_path / "gradio.py").write_text('raise ModuleNotFoundError("No module named \'gradio\'", name="gradio")')
    ganzoo("demo", "trained", cwd=zoo, env={"PYTHONPATH": str(tmp_path)}).mistake('pip install "ganzoo[demo]"')
    in_use = pytest.raises(GanzooError, match=r"127\.0\.0\.1 port \d+ cannot be used .*--port")
    with socket.create_server(("127.0.0.1", 0)) as taken, in_use:
        listen("127.0.0.1", taken.getsockname()[1])


def test_models_have_short_names():
    assert names(["runs/a", "b", "runs/a"]) == {"a": "runs/a", "b": "b"}
    assert names(["one/a", "two/a"]) == {"one/a": "one/a", "two/a": "two/a"}
    assert names(["user/name"]) == {"name": "user/name"}
