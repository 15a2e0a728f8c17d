"""The layers that docs/architecture.md names, by what the modules import."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ganzoo"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if "template" not in path.parts
}
USE = (
    *("imagefile", "tiles", "translate", "importer", "pretrained", "gallery", "bulk", "export", "comparison", "bench"),
    *("scaffold", "cli", "notebook"),
)


def imported(name, everywhere):
    """The modules of ganzoo that one imports when it is loaded, or `everywhere`, in functions too."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ganzoo":
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)


def test_training_imports_nothing_of_what_is_done_with_a_trained_model():
    reached, left = set(), ["ganzoo.run"]
    while left:
        name = left.pop()
        if name not in reached | {"ganzoo"}:  # which imports nothing before it is asked for it
            reached.add(name)
            left += imported(name, everywhere=True)
    assert {"ganzoo.loop", "ganzoo.checkpoint", "ganzoo.data.sources"} <= reached
    assert not [name for name in reached if name.split(".")[1:2] and name.split(".")[1] in USE]


def test_modules_import_only_from_their_own_row_and_those_above():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text[text.index("| file | holds |") :].split("\n\n")[0].splitlines()[2:]
    rows = {place.rstrip("/").removesuffix(".py"): i for i, row in enumerate(table)
            for place in re.findall(r"`(\w+(?:\.py|/))`", row.split("|")[1])}  # fmt: skip
    row_of = {name: rows[name.split(".")[1]] for name in MODULES if name != "ganzoo"}
    for name in row_of:
        for other in imported(name, everywhere=False):
            assert other == "ganzoo" or row_of[other] <= row_of[name], f"{name} imports {other}, which stands below it"
    assert len(set(row_of.values())) == len(table), "every row names a module"


def test_the_names_in_a_run_folder_are_spelled_in_one_place():
    from ganzoo.runfolder import RunFolder

    names = {path.name for path in vars(RunFolder(Path("run"))).values() if path.suffix}
    assert len(names) == 8
    for module, path in MODULES.items():
        spelled = {node.value for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                   if isinstance(node, ast.Constant) and isinstance(node.value, str)}  # fmt: skip
        assert module in ("ganzoo.runfolder", "ganzoo.scaffold") or not spelled & names, module
