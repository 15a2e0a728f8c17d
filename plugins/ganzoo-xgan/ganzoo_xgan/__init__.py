"""XGAN for ganzoo."""

from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "xgan",
        "ganzoo_xgan.model:XGAN",
        summary="two unpaired sets of images, translated through one embedding of their meaning",
        data_kind="unpaired",
        paper="Royer et al. 2017, arXiv:1711.05139",
    )
