"""Files of a run that were damaged, or written by somebody else: one sentence, or all is as it was."""

import json
import shutil
import tomllib
from pathlib import Path

import pytest
import safetensors.torch
import tomlkit
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

import ganzoo as package
from ganzoo import GanzooError, checkpoint, recipe
from ganzoo.cli.screen import PlainScreen
from ganzoo.clock import Clock
from ganzoo.data.dataset import open_dataset
from ganzoo.loop import Engine
from ganzoo.runfolder import RunFolder
from ganzoo.runtime import Runtime
from ganzoo.runwriter import RunWriter

FILES = ("networks.safetensors", "training.safetensors", "state.json")
STRANGE = (
    True,
    -1,
    0,
    7,
    10**9,
    2**70,
    1.5,
    float("nan"),
    "",
    "x",
    "G.A",
    "\x1b[31m",
    [],
    ["x"],
    [[]],
    {},
    {"x": {"y": 1}},
)
DEEP = "[" * 20_000


def examples(count):
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=checks)


def places(value, above=()):
    """The paths to everything in nested tables and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*above, key)
        yield from places(item, (*above, key))


def changed(value, place, strange):
    """A copy with what is at this place replaced, or removed where that is `...`."""
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    if strange is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = strange
    return copy


strange = st.sampled_from((..., *STRANGE))
any_place = st.integers(0, 10**6)  # taken modulo how many there are


@pytest.fixture(scope="module")
def last(run):
    return RunFolder(run).latest()


@pytest.fixture
def copy(tmp_path, last):
    """The checkpoint, written again for each example."""

    def renew():
        return Path(shutil.copytree(last, tmp_path / last.name, dirs_exist_ok=True))

    return renew


@pytest.fixture(scope="module")
def restore(run):
    """`restore(path)` goes back to that checkpoint, as a run does that goes on."""
    made_from = recipe.read(run / "recipe.toml")
    dataset = open_dataset(made_from.data, made_from.data_kind)
    trainer = made_from.trainer(made_from.options, dataset.spec)
    runtime = Runtime(made_from.train, made_from.data.batch)
    engine = Engine(trainer, made_from.train, runtime, Clock(0, made_from.data.batch))
    screen = PlainScreen(silent=True)
    return RunWriter(made_from, dataset.for_model(trainer), engine, RunFolder(run), screen).restore


def test_what_is_sound_is_accepted(copy, restore):
    restore(copy())
    assert package.load(copy()).images == 24


@examples(60)
@given(st.sampled_from(FILES), any_place, st.integers(0, 7))
def test_a_flipped_bit_of_a_checkpoint_is_seen(copy, restore, name, place, bit):
    file = copy() / name
    content = bytearray(file.read_bytes())
    content[place * len(content) // 10**6 % len(content)] ^= 1 << bit
    file.write_bytes(content)
    try:
        restore(file.parent)
    except GanzooError as error:
        assert str(file.parent) in str(error) and "checkpoint before" in str(error)
    else:
        assert json.loads(content) == json.loads((copy() / name).read_bytes()), "1e-05 is 1E-05"


@examples(60)
@given(any_place, strange)
def test_a_changed_field_of_the_state_is_seen(copy, restore, place, value):
    file = copy() / "state.json"
    state = json.loads(file.read_text())
    where = list(places(state))
    file.write_text(json.dumps(new := changed(state, where[place % len(where)], value)))
    if json.dumps(new) != json.dumps(state):
        with pytest.raises(GanzooError, match=r"cannot be read .* go on from the checkpoint before"):
            restore(file.parent)


@examples(60)
@given(any_place, strange)
def test_a_forged_state_is_one_sentence(copy, restore, place, value):
    """With the right sums: what it may not be is anything but a sentence."""
    folder = copy()
    saved = json.loads((folder / "state.json").read_text())
    tables = [("dict", i) for i in range(len(saved["state"]["dict"]))]
    where = [(*table, 1, *inner) for table in tables for inner in places(saved["state"]["dict"][table[1]][1])] + tables
    saved["state"] = changed(saved["state"], where[place % len(where)], value)
    saved["sha256"]["state.json"] = checkpoint._sha256_of(saved["state"])
    (folder / "state.json").write_text(json.dumps(saved))
    try:
        restore(folder)
    except GanzooError as error:
        assert "checkpoint before" in str(error)


@pytest.mark.parametrize("seen", [23, 22, 10**30])
def test_images_seen_are_told_in_one_way(copy, restore, seen):
    folder = copy()
    saved = json.loads((folder / "state.json").read_text())
    (place,) = (i for i, (key, _) in enumerate(saved["state"]["dict"]) if key == "images")
    saved["state"]["dict"][place][1] = {"value": seen}
    saved["sha256"]["state.json"] = checkpoint._sha256_of(saved["state"])
    (folder / "state.json").write_text(json.dumps(saved))
    with pytest.raises(GanzooError, match="does not agree with itself on how many images"):
        restore(folder)


class Bundle:
    """The weights, and what their file says of itself; small where a failing example is printed."""

    def __init__(self, file):
        with safe_open(file, framework="pt") as content:
            self.weights = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
            self.facts = content.metadata()

    def __repr__(self):
        return "bundle"


@pytest.fixture(scope="module")
def bundle(last):
    return Bundle(last / "networks.safetensors")


@pytest.fixture
def load(tmp_path, bundle):
    """Loads a file with other facts; whatever is wrong has to be a sentence that names it."""

    def try_(facts):
        file = tmp_path / "bundle.safetensors"
        file.write_bytes(safetensors.torch.save(bundle.weights, facts))
        try:
            package.load(file)
        except GanzooError as error:
            assert "\n" not in str(error).splitlines()[0] and len(str(error)) < 4000
            return str(error)
        return ""

    return try_


@examples(80)
@given(
    st.sampled_from(("format", "model", "distribution", "version", "recipe", "spec", "images", "aliases")),
    st.sampled_from(
        (..., "", "[]", "null", "{}", "5", "-1", '"x"', "9" * 4999, "\x1b[31m\n", DEEP, f"x = {DEEP}", '{"x": "y"}')
    ),
)
@example("spec", '{"domains": ["a", "b", "c"], "channels": {"a": 3, "b": 3, "c": 3}}')
def test_what_a_file_says_of_itself_is_checked(load, bundle, field, text):
    facts = {key: value for key, value in bundle.facts.items() if key != field} | ({} if text is ... else {field: text})
    said = load(facts)
    if field in ("format", "model", "recipe", "spec"):
        assert "bundle.safetensors" in said or "trained with the model" in said


@examples(50)
@given(any_place, strange)
def test_a_forged_spec_is_one_sentence(load, bundle, place, value):
    spec = json.loads(bundle.facts["spec"])
    where = list(places(spec))
    load(bundle.facts | {"spec": json.dumps(changed(spec, where[place % len(where)], value))})


@examples(80)
@given(any_place, strange)
@example(0, {"options": {"generator": {"name": "resnet", "width": 6000, "blocks": 9}}})
def test_a_forged_recipe_is_one_sentence(load, bundle, place, value):
    tables = tomllib.loads(bundle.facts["recipe"])
    where = list(places(tables))
    if isinstance(value, dict) and "options" in value:
        forged = tables | {"options": tables["options"] | value["options"]}
    else:
        forged = changed(tables, where[place % len(where)], value)
    load(bundle.facts | {"recipe": tomlkit.dumps(forged)})


@pytest.mark.parametrize(
    "part", [{"width": 6000}, {"width": 200_000}, {"width": 16, "blocks": 10**6}, {"blocks": 10**9}]
)
def test_networks_larger_than_their_file_are_not_built(load, bundle, part):
    tables = tomllib.loads(bundle.facts["recipe"])
    tables["options"]["generator"] |= part
    assert "bundle.safetensors cannot be used here: " in load(bundle.facts | {"recipe": tomlkit.dumps(tables)})


@examples(25)
@given(any_place, st.integers(0, 7))
def test_a_flipped_bit_of_a_file_of_weights_is_a_sentence_or_a_weight(tmp_path, last, place, bit):
    content = bytearray((last / "networks.safetensors").read_bytes())
    content[place % 12_000] ^= 1 << bit  # mostly the header
    (tmp_path / "flipped.safetensors").write_bytes(content)
    try:
        package.load(tmp_path / "flipped.safetensors")
    except GanzooError as error:
        assert "flipped.safetensors" in str(error) or "trained with the model" in str(error)


def test_weights_that_are_no_numbers_are_refused(tmp_path, bundle):
    weights = bundle.weights | {"ema.G.A.layers.1.weight": bundle.weights["ema.G.A.layers.1.weight"] * float("nan")}
    (tmp_path / "ill.safetensors").write_bytes(safetensors.torch.save(weights, bundle.facts))
    with pytest.raises(
        GanzooError, match=r'ill\.safetensors is not a sound .* "G\.A\.layers\.1\.weight" are not finite'
    ):
        package.load(tmp_path / "ill.safetensors")
