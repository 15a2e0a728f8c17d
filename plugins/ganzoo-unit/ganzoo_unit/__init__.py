"""UNIT for ganzoo."""

from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "unit",
        "ganzoo_unit.model:UNIT",
        summary="unpaired translation through a shared latent space",
        data_kind="unpaired",
        paper="Liu et al. 2017, arXiv:1703.00848",
    )
