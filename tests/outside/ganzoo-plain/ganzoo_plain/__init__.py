from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "plain", "ganzoo_plain.model:Plain", summary="regression from pairs: nothing adversarial", data_kind="paired"
    )
