from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "progressive",
        "ganzoo_progressive.model:Progressive",
        summary="images from noise, whose details fade in as training goes on",
        data_kind="images",
    )
