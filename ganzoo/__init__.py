"""ganzoo: a zoo of adversarial image models behind one engine.

The names below are the public API. They are loaded on first use, so that `import ganzoo` imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names as in _NAMES, for type checkers
    from ganzoo.data.dataset import TrainingSamples as TrainingSamples
    from ganzoo.data.images import ImageRef as ImageRef
    from ganzoo.data.kinds import DataKind as DataKind
    from ganzoo.data.published import Archive as Archive
    from ganzoo.data.sources import Source as Source
    from ganzoo.errors import GanzooError as GanzooError
    from ganzoo.errors import Offline as Offline
    from ganzoo.hooks import hookimpl as hookimpl
    from ganzoo.importer import Imported as Imported
    from ganzoo.importer import Importer as Importer
    from ganzoo.loggers import Logger as Logger
    from ganzoo.metrics import Metric as Metric
    from ganzoo.notebook import train as train
    from ganzoo.options import AdamOptions as AdamOptions
    from ganzoo.options import AdversarialOptions as AdversarialOptions
    from ganzoo.options import Count as Count
    from ganzoo.options import DiscriminatorPart as DiscriminatorPart
    from ganzoo.options import GeneratorPart as GeneratorPart
    from ganzoo.options import Layers as Layers
    from ganzoo.options import LossPart as LossPart
    from ganzoo.options import Natural as Natural
    from ganzoo.options import NonNegative as NonNegative
    from ganzoo.options import Options as Options
    from ganzoo.options import PenaltyPart as PenaltyPart
    from ganzoo.options import Probability as Probability
    from ganzoo.options import Weight as Weight
    from ganzoo.options import needs as needs
    from ganzoo.pool import ImagePool as ImagePool
    from ganzoo.pretrained import Pretrained as Pretrained
    from ganzoo.pretrained import TrainedOn as TrainedOn
    from ganzoo.trainer import Batch as Batch
    from ganzoo.trainer import Carry as Carry
    from ganzoo.trainer import DataSpec as DataSpec
    from ganzoo.trainer import Discriminator as Discriminator
    from ganzoo.trainer import Frozen as Frozen
    from ganzoo.trainer import Generator as Generator
    from ganzoo.trainer import Logits as Logits
    from ganzoo.trainer import Loss as Loss
    from ganzoo.trainer import Penalty as Penalty
    from ganzoo.trainer import Phase as Phase
    from ganzoo.trainer import Terms as Terms
    from ganzoo.trainer import Trainer as Trainer
    from ganzoo.translate import Translator as Translator
    from ganzoo.translate import load as load

__version__ = "0.1.0"
"""The version of ganzoo that is installed."""

API = 1
"""The version of the plugin contract, of all that the reference lists. A plugin may say `GANZOO_API = 1` in its
`__init__.py`; made for another version, it is not loaded, and `ganzoo list` says so."""

_NAMES = {
    "ganzoo.errors": "GanzooError Offline",
    "ganzoo.hooks": "hookimpl",
    "ganzoo.importer": "Imported Importer",
    "ganzoo.options": "AdamOptions AdversarialOptions Count DiscriminatorPart GeneratorPart Layers LossPart Natural "
    "NonNegative Options PenaltyPart Probability Weight needs",
    "ganzoo.trainer": "Batch Carry DataSpec Discriminator Frozen Generator Logits Loss Penalty Phase Terms Trainer",
    "ganzoo.pool": "ImagePool",
    "ganzoo.pretrained": "Pretrained TrainedOn",
    "ganzoo.loggers": "Logger",
    "ganzoo.metrics": "Metric",
    "ganzoo.data.dataset": "TrainingSamples",
    "ganzoo.data.images": "ImageRef",
    "ganzoo.data.kinds": "DataKind",
    "ganzoo.data.published": "Archive",
    "ganzoo.data.sources": "Source",
    "ganzoo.translate": "Translator load",
    "ganzoo.notebook": "train",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = [*_HOME, "API", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ganzoo' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
