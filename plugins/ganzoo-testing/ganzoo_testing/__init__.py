"""The conformance tests: what models, parts, data sources and metrics must do to get the rest from the engine.

In a plugin's tests, one line: `check_model("sketchgan", {"width": 8})`, and so for whatever else a package registers.
"""

from ganzoo_testing.helpers import batch, difference, engine, trainer
from ganzoo_testing.helpers import build as build
from ganzoo_testing.logger import check_logger
from ganzoo_testing.metric import check_metric
from ganzoo_testing.model import check_model
from ganzoo_testing.parts import check_discriminator, check_generator, check_loss, check_penalty
from ganzoo_testing.processes import in_processes
from ganzoo_testing.source import check_source
from ganzoo_testing.subject import ConformanceError

__all__ = [
    "ConformanceError",
    "batch",
    "check_discriminator",
    "check_generator",
    "check_logger",
    "check_loss",
    "check_metric",
    "check_model",
    "check_penalty",
    "check_source",
    "difference",
    "engine",
    "in_processes",
    "trainer",
]
