from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "triplets",
        "ganzoo_triplets.model:Triplets",
        summary="translation by metric learning: near images of the target, far from those of the source",
        data_kind="triplets",
    )


@hookimpl
def register_kinds(register):
    two_and_two = 'two images of one domain, "image" and "unlike", two of another, "like" and "other", and its "target"'
    register("triplets", "ganzoo_triplets.kind:TripletKind", summary=two_and_two)


@hookimpl
def register_sources(register):
    register("swatches", "ganzoo_triplets.source:Swatches", summary="images of one hue", data_kinds="domains images")


@hookimpl
def register_archives(register):
    register("cards", "ganzoo_triplets.source:CARDS", summary="fronts and backs of cards", data_kinds="domains")
