"""A page to try models in a browser: an image in, translations beside each other; new images of models that make them.

Importing it needs gradio. The page takes nothing from outside: no fonts, scripts or statistics.
"""

import html
import random
import re
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI
from PIL import Image
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ganzoo.data.images import ImageRef, convert
from ganzoo.errors import GanzooError, out_of_memory
from ganzoo.translate import Translator

PORTS = range(7860, 7960)
SHOWN = 1600  # pixels of the longer side on the page; what is downloaded has the image's own size
UNCHANGED = ""  # the choice for labels that stay as they are
POLICY = b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"
FONT = ("system-ui", "sans-serif")
CSS = """
.gradio-container > main { width: 100%; max-width: 1240px !important; margin: 0 auto; }
h1 { font-size: 26px; font-weight: 700; letter-spacing: -.01em; overflow-wrap: anywhere; }
.about { opacity: .75; margin-top: 4px; overflow-wrap: anywhere; }
.mistake { border-left: 4px solid #d98200; padding: 8px 14px; overflow-wrap: anywhere; }
"""


def _upload(**options: Any) -> gr.Image:
    """An image as the file that was sent: `ImageRef` decodes it, which knows more numbers and starts no programs."""
    image = gr.Image(buttons=[], **options)
    image.preprocess = _sent  # type: ignore[assignment,method-assign]
    return image


def _sent(payload: Any) -> tuple[str, str] | None:
    """(path, the name that it had), of gradio's FileData."""
    return None if payload is None else (payload.path, payload.orig_name or Path(payload.path).name)


def page(models: Mapping[str, Translator]) -> gr.Blocks:
    """The page for models by their names; what is asked for is asked of each."""
    translating = {name: model for name, model in models.items() if model.directions}
    generating = {name: model for name, model in models.items() if model.trainer.generates}
    title = "ganzoo \u00b7 " + ", ".join(models)
    with gr.Blocks(title=title, analytics_enabled=False, fill_width=True) as blocks:
        about = "<br>".join(html.escape(_about(*each)) for each in models.items())
        gr.HTML(f"<h1>{html.escape(title)}</h1><p class='about'>{about}</p>")
        if translating:
            _translations(translating)
        if generating:
            _new_images(generating)
    return blocks


def _about(name: str, model: Translator) -> str:
    spec = model.spec
    return f"{name}: {model.recipe.model}, {', '.join(spec.labels or spec.domains)}, {model.images:,} images seen"


def _translations(models: Mapping[str, Translator]) -> None:
    trainers = [model.trainer for model in models.values()]
    plain = [model for model in models.values() if not model.spec.labels]
    ways = list(dict.fromkeys(way for model in plain for way in model.directions))
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            image = _upload(
                label="Your image",
                height=320,
                elem_id="image",
                placeholder="Drop or paste an image here\n- or -\nchoose or take one",
            )
            way = gr.Radio(
                [(f"{source} \u2192 {target}", place) for place, (source, target) in enumerate(ways)],
                label="From and to",
                value=0 if ways else None,
                visible=len(ways) > 1,
            )
            words = _choices(models, translates=True)
            with gr.Row():
                reference = _upload(
                    label="In the style of this image", height=180, visible=any(t.encodes_styles for t in trainers),
                    sources=["upload", "clipboard"], elem_id="reference",
                )  # fmt: skip
                with gr.Column(min_width=120):
                    seed = _seed(visible=any(t.stochastic for t in trainers))
                    other = gr.Button("Another style", visible=any(t.stochastic for t in trainers))
            other.click(_random_seed, outputs=seed, show_progress="hidden")
        with gr.Column(scale=3, min_width=300), gr.Row():
            for name, model in models.items():
                with gr.Column(min_width=300):
                    both = gr.ImageSlider(
                        label=name, format="webp", interactive=False, max_height=460, buttons=["fullscreen"]
                    )
                    said = gr.HTML(visible=False)
                    file = gr.DownloadButton("Download", variant="primary", visible=False)
                inputs = [image, reference, seed, way, *words]
                _whenever(inputs, partial(_translate, model, ways), [both, said, file])


def _translate(
    model: Translator,
    ways: list[tuple[str, str]],
    image: tuple[str, str] | None,
    reference: tuple[str, str] | None,
    seed: float | None,
    way: int | None,
    *words: str,
) -> Any:
    """Before and after, a sentence, and the file of the translation, each of them where there is one."""
    nothing = gr.ImageSlider(value=None)
    if image is None:
        return nothing, gr.HTML(visible=False), gr.DownloadButton(visible=False)
    try:
        source, target = None, ",".join(word for word in words if word)
        if not model.spec.labels:
            source, target = ways[way or 0]
        elif not target:
            raise GanzooError("Choose what the image should become.")
        before = _opened(image)
        style = _opened(reference) if reference and model.trainer.encodes_styles else None
        number = int(seed or 0) if model.trainer.stochastic and style is None else None
        try:
            after = model.translate(before, target, source, style, number)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            size = f"{before.width}x{before.height}"
            raise GanzooError(f"{image[1]} is too large for the memory here ({size} pixels).") from error
    except GanzooError as error:
        return nothing, _sentence(str(error)), gr.DownloadButton(visible=False)
    name = re.sub(r"[^\w.-]+", "_", f"{Path(image[1]).stem[:80]}_{target[:80]}")
    file = Path(mkdtemp(dir=Path(image[0]).parent)) / f"{name}.png"
    after.save(file, compress_level=1)
    return (_shown(before), _shown(after)), gr.HTML(visible=False), gr.DownloadButton(value=file, visible=True)


def _opened(sent: tuple[str, str]) -> Image.Image:
    path, name = sent
    try:
        return ImageRef(Path(path)).open()
    except GanzooError as error:
        raise GanzooError(str(error).split(" Replace")[0].replace(path, name)) from error


def _shown(image: Image.Image) -> Image.Image:
    image = convert(image, 3)
    image.thumbnail((SHOWN, SHOWN), Image.Resampling.LANCZOS)
    return image


def _new_images(models: Mapping[str, Translator]) -> None:
    words = _choices(models, translates=False)
    with gr.Row():
        seed = _seed(visible=True)
        button = gr.Button("Generate", variant="primary")
    button.click(_random_seed, outputs=seed, show_progress="hidden")
    for name, model in models.items():
        gallery = gr.Gallery(
            label=name, format="png", columns=8, object_fit="contain", interactive=False, height="auto"
        )
        said = gr.HTML(visible=False)
        _whenever([seed, *words], partial(_generate, model), [gallery, said])


def _generate(model: Translator, seed: float | None, *words: str) -> Any:
    """New images, and a sentence where there are none."""
    try:
        made = list(model.generate(None, ",".join(word for word in words if word) or None, int(seed or 0)))
    except GanzooError as error:
        return [], _sentence(str(error))
    return [convert(image, 3) for image in made], gr.HTML(visible=False)


def _choices(models: Mapping[str, Translator], translates: bool) -> list[gr.Radio]:
    """For each group of labels, and each label outside of groups, what it should become."""
    specs = [model.spec for model in models.values() if model.spec.labels]
    grouped = {label for spec in specs for group in spec.groups for label in group}
    sets = dict.fromkeys(group for spec in specs for group in spec.groups)
    alone = dict.fromkeys(label for spec in specs for label in spec.labels if label not in grouped)
    options = [*sets, *((label, f"no-{label}") for label in alone)]
    stays = "as it is" if translates else "any"
    return [
        gr.Radio(
            [(stays, UNCHANGED), *((word, word) for word in several)],
            label=" or ".join(several),
            show_label=False,
            value=several[0] if translates and not place else UNCHANGED,
        )
        for place, several in enumerate(options)
    ]


def _seed(visible: bool) -> gr.Number:
    return gr.Number(0, label="Seed", precision=0, minimum=0, visible=visible, elem_id="seed")


def _random_seed() -> int:
    return random.randrange(1_000_000)


def _sentence(text: str) -> gr.HTML:
    return gr.HTML(f"<p class='mistake' role='alert'>{html.escape(text)}</p>", visible=True)


def _whenever(inputs: list[Any], function: Callable[..., Any], outputs: list[Any]) -> None:
    """The function whenever an input changes; one thing at a time, for all models, and the last one asked for."""
    triggers = [component.change for component in inputs]
    gr.on(triggers, function, inputs, outputs, trigger_mode="always_last", concurrency_id="model", concurrency_limit=1)


class _Closed:
    """Tells the browser to load nothing from anywhere else."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY)]
            await send(message)

        await self.app(scope, receive, sending)


def listen(host: str, port: int | None) -> socket.socket:
    """A socket for the page, at the first free port of PORTS if none is given. Raises GanzooError if there is none."""
    for each in [port] if port is not None else PORTS:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return socket.create_server((host, each), family=family)
        except OSError as error:
            failure = error
    why = failure.strerror or failure
    raise GanzooError(f"{host} port {each} cannot be used ({why}). Give another with --port or --host.") from failure


def serve(models: Mapping[str, Translator], listening: socket.socket, ready: Callable[[], Any]) -> None:
    """Serves the page until Ctrl-C; `ready` is called once it is there. What is being translated then goes on."""
    theme = gr.themes.Default(
        primary_hue="blue",
        secondary_hue="blue",
        neutral_hue="stone",
        font=FONT,
        font_mono=("ui-monospace", "monospace"),
    )
    app = gr.mount_gradio_app(
        FastAPI(openapi_url=None),
        page(models).queue(),
        "/",
        theme=theme,
        css=CSS,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        show_error=True,
    )
    config = uvicorn.Config(_Closed(app), log_level="critical", timeout_graceful_shutdown=1)
    server = _Server(config)
    server.ready = ready
    serving = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    serving.start()
    with suppress(KeyboardInterrupt):
        while serving.is_alive():
            serving.join(1)
    server.should_exit = True
    serving.join(2)


class _Server(uvicorn.Server):
    ready: Callable[[], Any]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready()


def names(arguments: Iterable[str]) -> dict[str, str]:
    """A short name -> each of the arguments: the last part of its path, where that tells them apart."""
    arguments = list(dict.fromkeys(arguments))
    short = [Path(argument).name or argument for argument in arguments]
    return {
        name if short.count(name) == 1 else argument: argument for name, argument in zip(short, arguments, strict=True)
    }
