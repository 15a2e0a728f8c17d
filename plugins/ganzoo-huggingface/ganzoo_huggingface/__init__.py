"""Hugging Face data sets as a data source of ganzoo."""

from ganzoo import hookimpl


@hookimpl
def register_sources(register):
    register(
        "huggingface",
        "ganzoo_huggingface.source:HuggingFace",
        summary="a data set of the Hugging Face hub, or one in its formats here",
        data_kinds="unpaired paired domains labelled images",
    )
