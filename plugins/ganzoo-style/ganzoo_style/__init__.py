"""Neural style transfer for ganzoo."""

from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "style",
        "ganzoo_style.model:Style",
        summary="one image painted in the style of another: its pixels are what is trained",
        data_kind="single-pair",
        paper="Gatys et al. 2016, CVPR",
    )
