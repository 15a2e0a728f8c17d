"""The conformance test of a logger: all that a run does with it, over a stop and a resume."""

import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from ganzoo_testing.parts import built
from ganzoo_testing.subject import Subject

RECIPE = {"model": "sketchgan", "data.domains": ["left", "right"], "options.lr": 2e-4, "train.images": 12, "preset": ""}
NAMES = ("G/G_adv_left", "lr/G", "left->right/ssim", 'label "no beard"->blond/l1', "images_per_s")


def check_logger(name: str, options: Mapping[str, Any] | None = None) -> None:
    """Sends a registered logger what a run would: it is stopped, and gone on with from before its end.

    Names and numbers are as awkward as they may be. It leaves the handlers of signals alone. Raises ConformanceError.
    `options` are the logger's own, e.g. of a server that the test has started.
    """
    subject = Subject("logger", name)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "a run"
        run.mkdir()
        handlers = _handlers()
        for seen, finished in ((0, False), (4, True)):
            logger = built(subject, options, run, seen)
            with subject.expecting("settings()", "no error"):
                logger.settings(RECIPE)
            for images in range(seen + 4, seen + 9, 4):  # image 8 is logged in both parts
                with subject.expecting("scalars()", "no error for any name and any finite number"):
                    logger.scalars(dict(zip(NAMES, (0.5, 1e-30, -1e30, 0, images), strict=True)), images)
                with subject.expecting("sample()", "no error for an RGB image"):
                    logger.sample(Image.new("RGB", (48, 32), (200, 30, 90)), images)
            with subject.expecting("close()", "no error"):
                logger.close(finished)
        expected = "that SIGINT and SIGTERM are handled as before: they end a run"
        subject.expect(_handlers() == handlers, "a run", expected)


def _handlers() -> list[Any]:
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
