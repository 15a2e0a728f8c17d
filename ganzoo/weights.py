"""Files of weights that other programs wrote."""

import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ganzoo.errors import GanzooError


def plain_weights(file: Path) -> dict[str, Tensor]:
    """The tensors by name in a file of another program, .safetensors or as torch.save writes a state_dict.

    No code in it is run. Raises GanzooError where it holds anything else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles that are refused then
            found = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    except FileNotFoundError:
        raise GanzooError(f"There is no file {file}.") from None
    except Exception as error:  # whatever torch makes of a file that is something else
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise GanzooError(f"{file} holds no plain weights, so it is not loaded ({reason}).") from error
    if not isinstance(found, dict) or not all(_is_plain(*item) for item in found.items()):
        raise GanzooError(f"{file} holds no plain weights, so it is not loaded (they are tensors by their names).")
    return found


def _is_plain(name: Any, value: Any) -> bool:
    """Whether it is a tensor under a name, with all of its numbers in the file."""
    if not (
        isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta
    ):
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()
