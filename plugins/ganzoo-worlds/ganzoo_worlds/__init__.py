"""Rendered data sets for ganzoo, whose ground truth is known, and handwritten digits."""

from ganzoo import hookimpl


@hookimpl
def register_sources(register):
    everything = "unpaired paired domains labelled images"
    register(
        "landscapes",
        "ganzoo_worlds.sources:Landscapes",
        summary="rendered landscapes: photographs, paintings, seasons",
        data_kinds="unpaired paired domains images",
    )
    register("faces", "ganzoo_worlds.sources:Faces", summary="rendered faces with attributes", data_kinds=everything)
    register(
        "digits", "ganzoo_worlds.digits:Digits", summary="8x8 digits of scikit-learn", data_kinds="labelled images"
    )


@hookimpl
def register_commands(register):
    register(
        "evaluate-faces",
        "ganzoo_worlds.evaluation:evaluate_faces",
        summary="what translations of rendered faces keep and take, by the ground truth",
    )
