from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "vaegan",
        "ganzoo_vaegan.model:VAEGAN",
        summary="an auto-encoder with a discriminator, in three phases",
        data_kind="images",
    )
