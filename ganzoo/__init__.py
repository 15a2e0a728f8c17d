"""ganzoo: a zoo of adversarial image models behind one engine.

The names below are the public API. They are loaded on first use, so that `import ganzoo` imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganzoo.errors import GanzooError as GanzooError
    from ganzoo.hooks import hookimpl as hookimpl

__version__ = "0.1.0"
"""The version of ganzoo that is installed."""

API = 1
"""The version of the plugin contract, of all that the reference lists. A plugin may say `GANZOO_API = 1` in its
`__init__.py`; made for another version, it is not loaded, and `ganzoo list` says so."""

_HOME = {
    "GanzooError": "ganzoo.errors",
    "hookimpl": "ganzoo.hooks",
    "AdamOptions": "ganzoo.options",
    "AdversarialOptions": "ganzoo.options",
    "Count": "ganzoo.options",
    "DiscriminatorPart": "ganzoo.options",
    "GeneratorPart": "ganzoo.options",
    "LossPart": "ganzoo.options",
    "Natural": "ganzoo.options",
    "NonNegative": "ganzoo.options",
    "Options": "ganzoo.options",
    "PenaltyPart": "ganzoo.options",
    "Probability": "ganzoo.options",
    "Weight": "ganzoo.options",
    "needs": "ganzoo.options",
    "Batch": "ganzoo.trainer",
    "Carry": "ganzoo.trainer",
    "DataSpec": "ganzoo.trainer",
    "Discriminator": "ganzoo.trainer",
    "Frozen": "ganzoo.trainer",
    "Generator": "ganzoo.trainer",
    "Logits": "ganzoo.trainer",
    "Loss": "ganzoo.trainer",
    "Penalty": "ganzoo.trainer",
    "Phase": "ganzoo.trainer",
    "Terms": "ganzoo.trainer",
    "Trainer": "ganzoo.trainer",
    "ImagePool": "ganzoo.pool",
    "Metric": "ganzoo.metrics",
    "DataKind": "ganzoo.data.kinds",
    "TrainingSamples": "ganzoo.data.dataset",
    "ImageRef": "ganzoo.data.images",
    "Archive": "ganzoo.data.published",
    "Source": "ganzoo.data.sources",
    "Translator": "ganzoo.translate",
    "load": "ganzoo.translate",
}
__all__ = [*_HOME, "API", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ganzoo' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
