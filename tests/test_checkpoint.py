"""Checkpoints give back what they were given, whatever shares memory or a name."""

import json

import pytest
import torch
from torch import Tensor

from ganzoo import GanzooError, checkpoint

STATE = {"a": {"b": torch.zeros(2)}, "a.b": torch.ones(3), 1: torch.full((1,), 2.0), "1": (3, [None, True, "x"], 0.5)}


def same(one, other):
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_state_comes_back(tmp_path):
    saved = checkpoint.save(tmp_path / "checkpoint", {"w": torch.ones(1)}, STATE, {})
    assert same(STATE, checkpoint.load_state(saved))
    assert not same(STATE, STATE | {"a.b": torch.zeros(3)})


def test_weights_that_share_memory_come_back(tmp_path):
    square, long = torch.arange(9.0).reshape(3, 3), torch.arange(10.0)
    weights = {
        "w": square,
        "tied": square,
        "turned": square.T,
        "head": long[:6],
        "tail": long[4:],
        "none": torch.empty(0),
    }
    saved = checkpoint.save(tmp_path / "checkpoint", weights, {}, {})
    found, about = checkpoint.load_networks(saved)
    assert same(weights, {name: found[name] for name in weights}) and found.keys() == weights.keys()
    assert json.loads(about["aliases"]) == {"tied": "w"}


def test_averaged_weights_take_the_place_of_live_ones(tmp_path):
    live, averaged = {"G": torch.zeros(1), "D": torch.zeros(1)}, {"G": torch.ones(1)}
    both = live | {f"ema.{name}": value for name, value in averaged.items()}
    saved = checkpoint.save(tmp_path / "checkpoint", both, {}, {"model": "x"})
    assert same(checkpoint.load_networks(saved)[0], live)
    assert same(checkpoint.load_networks(saved, ema=True)[0], live | averaged)
    assert checkpoint.load_networks(saved)[1]["model"] == "x"


def test_a_checkpoint_is_never_replaced_and_never_half_there(tmp_path):
    final = tmp_path / "checkpoint"
    checkpoint.save(final, {"w": torch.ones(1)}, {}, {})
    checkpoint.save(final, {"w": torch.zeros(1)}, {}, {})
    assert checkpoint.load_networks(final)[0]["w"] == 1
    with pytest.raises(GanzooError, match='"w" are no longer finite'):
        checkpoint.save(tmp_path / "ill", {"w": torch.tensor([1.0, float("nan")])}, {}, {})
    with pytest.raises(TypeError, match="thing is a object"):
        checkpoint.save(tmp_path / "odd", {}, {"thing": object()}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("text", ["[]", "5", "null", '"x"', '{"dict": 5}', '{"tensor": "none"}', "[" * 100_000, "{"])
def test_a_state_that_is_none_is_told(tmp_path, text):
    saved = checkpoint.save(tmp_path / "checkpoint", {}, {}, {})
    (saved / "state.json").write_text(text)
    with pytest.raises(GanzooError, match=r"state\.json cannot be read .*go on from the checkpoint before"):
        checkpoint.load_state(saved)


def test_what_is_loaded_begins_where_memory_is_aligned(tmp_path):
    """As computed tensors do: the sum of a dot product depends on it to the bit, and so does resume."""
    odd = {f"part {i}": torch.full((17,), float(i)) for i in range(4)}
    saved = checkpoint.save(tmp_path / "checkpoint", odd, {"odd": odd}, {})
    loaded = [*checkpoint.load_networks(saved)[0].values(), *checkpoint.load_state(saved)["odd"].values()]
    assert [value.data_ptr() % 64 for value in loaded] == 8 * [0]
