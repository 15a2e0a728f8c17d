from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "rosetta",
        "ganzoo_rosetta.model:Rosetta",
        summary="one generator for all domains, told where to go",
        data_kind="domains",
    )
