"""The conformance tests: what models, parts, data sources and metrics must do to get the rest from the engine.

In a plugin's tests, one line: `check_model("sketchgan", {"width": 8})`, for a data source `check_source("scans")`, for
a metric `check_metric("ms-ssim")`.
"""

from ganzoo.testing.helpers import batch, build, difference, engine, trainer
from ganzoo.testing.metric import check_metric
from ganzoo.testing.model import check_model
from ganzoo.testing.processes import in_processes
from ganzoo.testing.report import ConformanceError
from ganzoo.testing.source import check_source

__all__ = [
    "ConformanceError",
    "batch",
    "build",
    "check_metric",
    "check_model",
    "check_source",
    "difference",
    "engine",
    "in_processes",
    "trainer",
]
