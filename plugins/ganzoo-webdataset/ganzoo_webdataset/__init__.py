"""WebDataset shards as a data source of ganzoo."""

from ganzoo import hookimpl


@hookimpl
def register_sources(register):
    register(
        "webdataset",
        "ganzoo_webdataset.source:WebDataset",
        summary="images in WebDataset shards: tar files here or on the web",
        data_kinds="unpaired domains images",
    )
