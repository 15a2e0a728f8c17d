"""The rendered data sets know the ground truth only if a seed is the same scene in every rendering and at every size."""

import numpy as np
import pytest
from ganzoo_worlds import faces, landscapes

from ganzoo.errors import GanzooError


def _unit(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32) / 255


def _halved(image: np.ndarray) -> np.ndarray:
    size = image.shape[0] // 2
    return _unit(image).reshape(size, 2, size, 2, 3).mean((1, 3))


def _changed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where two images differ by more than their grain."""
    return np.abs(_unit(one) - _unit(other)).max(-1) > 0.05


@pytest.mark.parametrize(
    ("world", "rendering"),
    [(landscapes, r) for r in landscapes.RENDERINGS] + [(faces, r) for r in faces.RENDERINGS],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_images_depend_on_the_seed_alone(world, rendering):
    one = world.render(3, rendering, 48)
    assert one.shape == (48, 48, 3) and one.dtype == np.uint8
    for seed in range(40, 80):  # enough to push seed 3 out of the cache
        world.render(seed, rendering, 8)
    assert np.array_equal(one, world.render(3, rendering, 48))
    assert np.abs(_unit(one) - _unit(world.render(4, rendering, 48))).mean() > 0.02


@pytest.mark.parametrize(("rendering", "bound"), [("photo", 0.03), ("winter", 0.03), ("painting", 0.06)])
def test_a_landscape_is_the_same_at_every_size(rendering, bound):
    for seed in range(4):
        small, large = landscapes.render(seed, rendering, 64), landscapes.render(seed, rendering, 128)
        assert np.abs(_halved(large) - _unit(small)).mean() < bound


@pytest.mark.parametrize("rendering", faces.RENDERINGS)
def test_a_face_is_the_same_at_every_size(rendering):
    for seed in range(6):
        small, large = faces.render(seed, rendering, 64), faces.render(seed, rendering, 128)
        assert np.abs(_halved(large) - _unit(small)).mean() < 0.03


def test_a_painting_is_far_from_its_photo_but_follows_from_it():
    """A translation can be learned where the rule outweighs the chance: strokes must stay small beside the palette."""
    distance, chance = [], []
    for seed in range(30):
        photo = _unit(landscapes.render(seed, "photo", 64))
        distance.append(np.abs(_unit(landscapes.render(seed, "painting", 64)) - photo).mean())
    for seed in range(8):
        strokes = np.stack([landscapes._painting(seed, 64, salt) for salt in range(2, 8)])
        chance.append(np.abs(strokes[0] - strokes[1:].mean(0)).mean())
    assert np.mean(distance) >= 0.15
    assert np.mean(chance) <= 0.04
    assert np.mean(chance) < 0.25 * np.mean(distance)


def test_the_painter_s_palette_can_be_undone():
    """Colours that the painter brings together could not be told apart again on the way back."""
    rng = np.random.default_rng(0)
    photos = np.concatenate([_unit(landscapes.render(seed, "photo", 32)).reshape(-1, 3) for seed in range(12)])
    some, others = rng.permutation(photos)[:3000].reshape(2, 1500, 3)
    painted, known = landscapes._repaint(some.T).T, landscapes._repaint(others.T).T
    did_you_mean = ((painted[:, None] - known) ** 2).sum(-1).argmin(1)
    assert np.abs(others[did_you_mean] - some).mean() < 0.03


def test_landscape_renderings_differ_from_each_other():
    means = {r: np.mean([_unit(landscapes.render(s, r, 32)) for s in range(12)], 0) for r in landscapes.RENDERINGS}
    for one in means:
        for other in means:
            if one < other:
                assert np.abs(means[one] - means[other]).mean() > 0.02, (one, other)


def test_edges_are_dark_lines_on_white():
    image = _unit(landscapes.render(1, "edges", 64))
    assert np.median(image) > 0.95 and image.min() < 0.4


def test_attributes_are_drawn_evenly():
    drawn = [faces.attributes(seed) for seed in range(400)]
    assert all(tuple(one) == faces.ATTRIBUTES for one in drawn)
    assert all(sum(one[name] for name in faces.EXCLUSIVE[0]) == 1 for one in drawn)
    share = {name: np.mean([one[name] for one in drawn]) for name in faces.ATTRIBUTES}
    assert all(abs(share[name] - 1 / 3) < 0.08 for name in faces.EXCLUSIVE[0])
    assert all(abs(share[name] - 1 / 2) < 0.08 for name in ("smiling", "glasses"))


@pytest.mark.parametrize("rendering", faces.RENDERINGS)
def test_an_attribute_changes_its_own_part_of_the_face_only(rendering):
    for seed in range(12):
        smile = _changed(*(faces.render(seed, rendering, 64, smiling=on) for on in (False, True)))
        glasses = _changed(*(faces.render(seed, rendering, 64, glasses=on) for on in (False, True)))
        hair = _changed(*(faces.render(seed, rendering, 64, **{colour: True}) for colour in ("black", "blond")))
        assert 0.01 < smile.mean() < 0.12 and not smile[:26].any() and not smile[52:].any()
        assert 0.01 < glasses.mean() < 0.15 and not glasses[:18].any() and not glasses[44:].any()
        assert 0.05 < hair.mean() < 0.5


def test_overrides_speak_the_same_language_as_attributes():
    own = faces.attributes(5)
    assert np.array_equal(faces.render(5, "photo", 32), faces.render(5, "photo", 32, **own))
    blond = faces.render(5, "photo", 32, black=False, brown=False, blond=True)
    assert np.array_equal(blond, faces.render(5, "photo", 32, blond=True))
    assert faces._settle(5, {"blond": True}) == own | {"black": False, "brown": False, "blond": True}


@pytest.mark.parametrize("world", [landscapes, faces], ids=["landscapes", "faces"])
def test_an_unknown_rendering_names_the_known_ones(world):
    with pytest.raises(GanzooError, match=r"fresco.*photo"):
        world.render(0, "fresco", 16)


def test_an_unknown_attribute_names_the_known_ones():
    with pytest.raises(GanzooError, match=r"bearded.*smiling"):
        faces.render(0, "photo", 16, bearded=True)
