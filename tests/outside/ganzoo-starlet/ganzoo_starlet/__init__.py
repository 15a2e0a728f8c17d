from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "starlet",
        "ganzoo_starlet.model:Starlet",
        summary="many translations of an image: styles at random, or of a reference image",
        data_kind="domains",
    )
