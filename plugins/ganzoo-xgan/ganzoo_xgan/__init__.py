"""XGAN for ganzoo."""

from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "xgan",
        "ganzoo_xgan.model:XGAN",
        summary="unpaired translation through a shared semantic embedding",
        data_kind="unpaired",
        paper="Royer et al. 2017, arXiv:1711.05139",
    )
