"""Labelled images as people have them: folders, CelebA's text, CSV; and every way in which they do not fit."""

import math

import pytest
from ganzoo_worlds.sources import Faces
from PIL import Image

from ganzoo.attributes import all_targets, parse_target
from ganzoo.data.dataset import open_dataset
from ganzoo.data.folders import Folders
from ganzoo.errors import GanzooError
from ganzoo.options import DataOptions
from ganzoo.trainer import DataSpec

HAIR = ("Black", "Blond")
CELEBA = "3\nBlack Blond Young\n1.png 1 -1 1\n2.png -1  1 -1\n10.png -1 -1 1\n"


@pytest.fixture
def root(tmp_path):
    """`root("a/1.png", ...)` puts images there."""

    def fill(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (10, 8)).save(path)
        return tmp_path

    return fill


def opened(root, **options):
    return Folders(DataOptions(source="folders", root=str(root), **options), "labelled")


def table(root, text, file="labels.csv", **options):
    (root / file).write_text(text, encoding="utf-8")
    return opened(root, labels=file, **options)


def labels_of(source, split="train"):
    return {p.path.name: p.labels for p in source.images(split, "image")}


def test_celeba(root):
    source = table(root("1.png", "2.png", "10.png"), CELEBA, "list_attr_celeba.txt", groups=(HAIR,))
    assert source.labels == ("Black", "Blond", "Young") and source.groups == (HAIR,) and source.domains == ("image",)
    assert labels_of(source) == {"1.png": (1, 0, 1), "2.png": (0, 1, 0), "10.png": (0, 0, 1)}


def test_attributes_choose_and_order_the_columns(root):
    source = table(root("1.png", "2.png", "10.png"), CELEBA, "a.txt", attributes=("Young", "Black"))
    assert source.labels == ("Young", "Black") and labels_of(source)["2.png"] == (0, 0)


def test_csv_with_unknown_values_and_paths(root):
    folder = root("celeba/1.png", "rafd/1.png", "rafd/2.png")
    text = "file,smiling,angry\nceleba/1.png,1,\nrafd/1.png,, 0\n2.png,-1,1\n\n"
    rows = {str(p.path.relative_to(folder)): p.labels for p in table(folder, text).images("train", "image")}
    assert rows["rafd/2.png"] == (0, 1)
    assert rows["celeba/1.png"][0] == 1 and math.isnan(rows["celeba/1.png"][1])
    assert math.isnan(rows["rafd/1.png"][0]) and rows["rafd/1.png"][1] == 0


def test_a_folder_for_each_class(root):
    source = opened(root("happy/1.png", "angry/1.png", "angry/2.png", "angry/deep/3.png"))
    assert source.labels == ("angry", "happy") and source.groups == (("angry", "happy"),)
    assert [p.labels for p in source.images("train", "image")] == [(1, 0)] * 3 + [(0, 1)]


def test_classes_can_be_chosen(root):
    source = opened(root("happy/1.png", "angry/1.png", "sad/1.png"), attributes=("sad", "angry"))
    assert source.labels == ("sad", "angry")
    assert [p.labels for p in source.images("train", "image")] == [(1, 0), (0, 1)]


def test_classes_with_a_test_folder(root):
    source = opened(root("train/happy/1.png", "train/angry/1.png", "test/happy/2.png", "test/angry/3.png"))
    assert labels_of(source, "test") == {"3.png": (1, 0), "2.png": (0, 1)}


@pytest.mark.parametrize("names", [("1.png", "2.png"), ("only/1.png",), ()])
def test_pictures_without_labels(root, names):
    folder = root(*names)
    with pytest.raises(GanzooError, match=r"(?s)have no labels: sort them into folders.*data\.labels.*Found:"):
        opened(folder)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attributes": ("hapy",)}, r'no folder "hapy".*Did you mean "happy"\?.*angry, happy'),
        ({"groups": (("angry", "happy"),)}, "Leave it out"),
        ({"labels": "missing.csv"}, r"no attribute file .*missing\.csv"),
    ],
)
def test_options_that_do_not_fit_folders(root, options, words):
    with pytest.raises(GanzooError, match=words):
        opened(root("happy/1.png", "angry/1.png"), **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attributes": ("Blonde",)}, r'no attribute "Blonde".*Did you mean "Blond"\?.*It has: Black, Blond, Young'),
        ({"groups": (("Black", "Grey"),)}, r'data\.groups: data\.attributes have no "Grey"'),
        ({"groups": (HAIR,), "attributes": ("Young",)}, r'data\.attributes have no "Black"\. It has: Young'),
    ],
)
def test_options_that_do_not_fit_the_file(root, options, words):
    with pytest.raises(GanzooError, match=words):
        table(root("1.png", "2.png", "10.png"), CELEBA, "a.txt", **options)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "begin with a header"),
        ("file;smiling\n1.png;1\n", "header, separated by commas"),
        ("file,smiling\n", "describes no images"),
        ("file,smiling\n1.png,yes\n", r"line of 1\.png should have 1 values, each 1, -1 or 0.*yes"),
        ("file,smiling,male\n1.png,1\n", r"line of 1\.png should have 2 values.*has 1"),
        ("file,smiling\n1.png,1\n1.png,0\n", r'2 lines called "1\.png"'),
        ("file,smiling,smiling\n1.png,1,1\n", '2 attributes called "smiling"'),
    ],
)
def test_a_table_that_is_not_one(root, text, words):
    with pytest.raises(GanzooError, match=words):
        table(root("1.png"), text)


def test_text_that_is_not_celeba_s(root):
    with pytest.raises(GanzooError, match=r"line that counts.*called \.csv"):
        table(root("1.png"), "file,smiling\n1.png,1\n", "labels.txt")


def test_a_file_that_is_not_text(root):
    folder = root("1.png")
    (folder / "labels.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(GanzooError, match="cannot be read as text"):
        opened(folder, labels="labels.csv")
    (folder / "labels.csv").write_text(f"file,smiling\n1.png,{'1' * 200_000}\n")
    with pytest.raises(GanzooError, match=r"is no table with commas \(field larger than field limit"):
        opened(folder, labels="labels.csv")


def test_images_without_labels_are_told(root):
    folder, told = root("1.png", "2.png"), []
    (folder / "labels.csv").write_text("file,smiling\n1.png,1\n")
    data = DataOptions(source="folders", root=str(folder), labels="labels.csv", broken="skip")
    open_dataset(data, "labelled", say=told.append)
    assert told == [f"Left out of {folder}: images without labels: 1 (2.png)."]


def test_a_file_that_does_not_fit_the_folder(root):
    folder = root("1.png", "2.png", "3.png")
    with pytest.raises(GanzooError, match=r"labels.csv has 2 images, of which 1 are not in .*, such as 7\.png"):
        table(folder, "file,smiling\n1.png,1\n7.png,0\n")
    with pytest.raises(GanzooError, match=r"has 3 images, of which 2 are not in .*labels.csv, such as 2\.png.*skip"):
        table(folder, "file,smiling\n1.png,1\n")
    with pytest.raises(GanzooError, match=r"has 1 images, of which 1 are not in .*such as 7\.png.*data\.root"):
        table(folder, "file,smiling\n7.png,1\n", broken="skip")
    assert labels_of(table(folder, "file,smiling\n1.png,1\n7.png,0\n", broken="skip")) == {"1.png": (1,)}


def test_a_name_that_two_pictures_have(root):
    folder = root("a/1.png", "b/1.png")
    with pytest.raises(GanzooError, match=r'"1\.png", but there are .*1\.png and .*1\.png\. Write the path'):
        table(folder, "file,smiling\n1.png,1\n")


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ((("black", "blond", "brown"), ("smilling", "glasses")), r'"smilling".*Did you mean "smiling"'),
        ((("black", "blond", "brown"), ("smiling",)), r'leaves out "glasses"'),
        ((("black", "blond", "brown", "smiling"), ("smiling", "glasses")), r'"smiling" twice'),
        ((("black", "blond"), ("brown", "smiling", "glasses")), "takes black, blond, brown apart"),
    ],
)
def test_label_sets_that_do_not_fit(sets, words):
    with pytest.raises(GanzooError, match=words):
        open_dataset(DataOptions(source="faces", label_sets=sets), "labelled")


def test_drawn_worlds_hide_the_labels_of_other_sets():
    sets = (("black", "blond", "brown"), ("smiling", "glasses"))
    source = Faces(DataOptions(source="faces", label_sets=sets), "labelled")
    for i, image in enumerate(source.images("train", "image")[:6]):
        known = {name for name, value in zip(source.labels, image.labels, strict=True) if not math.isnan(value)}
        assert known == set(sets[i % 2])
    assert not any(math.isnan(value) for image in source.images("test", "image") for value in image.labels)


def test_an_unknown_attribute_of_a_drawn_world():
    with pytest.raises(GanzooError, match=r'no "smilling".*Did you mean "smiling"'):
        Faces(DataOptions(source="faces", attributes=("smilling",)), "labelled")


SPEC = DataSpec(("image",), {"image": 3}, 64, ("black", "blond", "smiling"), (("black", "blond"),))


def test_targets():
    assert all_targets(SPEC) == ["black", "blond", "smiling", "no-smiling"]
    assert parse_target(SPEC, "blond, no-smiling") == {"black": False, "blond": True, "smiling": False}


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("smilling", r'no label "smilling".*Did you mean "smiling"\?.*black, blond, smiling, no-smiling'),
        ("no-glasses", 'no label "no-glasses"'),
        ("", 'no label ""'),
        ("blond,", 'no label ""'),
        ("no-black", r"not be. Say which instead: blond"),
        ("black,blond", "contradicts itself"),
        ("smiling,no-smiling", "contradicts itself about smiling"),
    ],
)
def test_targets_that_cannot_be(target, words):
    with pytest.raises(GanzooError, match=words):
        parse_target(SPEC, target)
