"""Shared-latent translation for ganzoo."""

from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "shared",
        "ganzoo_shared.model:Shared",
        summary="two unpaired sets of pictures, encoded and decoded by networks that share their inner layers",
        data="unpaired",
        paper="Liu et al. 2017, arXiv:1703.00848",
    )
