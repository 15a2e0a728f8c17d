"""Everything in ganzoo that can be extended.

A plugin is a Python package with an entry point in the group `ganzoo`; the module it names implements some of these
hooks with `@ganzoo.hookimpl`. Each hook is given `register(name, target, summary="", **facts)`, where `target` is
`"package.module:Name"`: it is imported when it is used, so that listing plugins imports no torch.
"""

from collections.abc import Callable

import pluggy

hookspec = pluggy.HookspecMarker("ganzoo")
hookimpl = pluggy.HookimplMarker("ganzoo")

Register = Callable[..., None]


@hookspec
def register_models(register: Register) -> None:
    """Models: `ganzoo.Trainer` subclasses. Facts: `data` (kind of data) and `paper`."""


@hookspec
def register_generators(register: Register) -> None:
    """Generators: `ganzoo.Generator` subclasses, built with (in_channels, out_channels, size, **own options)."""


@hookspec
def register_discriminators(register: Register) -> None:
    """Discriminators: `ganzoo.Discriminator` subclasses, built with (in_channels, size, **own options)."""


@hookspec
def register_losses(register: Register) -> None:
    """Adversarial losses: `ganzoo.Loss` subclasses, built with (**own options)."""


@hookspec
def register_sources(register: Register) -> None:
    """Data sources: `ganzoo.Source` subclasses. Fact: `data` (the kinds of data they can give)."""
