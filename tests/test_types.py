"""What authors write passes a type checker against the type information that ganzoo ships."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import ganzoo
from ganzoo.scaffold import write_plugin

ROOT = Path(__file__).parents[1]
KINDS = ("unpaired", "paired", "domains", "labelled", "images")
README_IMPORTS = """
from ganzoo import DiscriminatorPart, GeneratorPart, LossPart, AdamOptions, Phase, Trainer
from torch.nn.functional import l1_loss


class SketchOptions(AdamOptions):
    generator: GeneratorPart = "unet"
    \"\"\"photo to sketch\"\"\"
    discriminator: DiscriminatorPart = "patch"
    \"\"\"real or fake sketch\"\"\"
    loss: LossPart = "bce"
    \"\"\"adversarial loss\"\"\"


"""


def checked(folder: Path, *files: Path) -> str:
    """What mypy says of the files, with the project's own settings."""
    cache = ROOT / ".mypy_cache"  # torch is read once for all
    command = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", "--cache-dir", cache]
    return subprocess.run([*command, *files], cwd=folder, capture_output=True, text=True, check=False).stdout


def test_templates_and_examples(tmp_path):
    files = []
    for kind in KINDS:
        written = write_plugin(f"typed-{kind}", kind, tmp_path / kind)
        files += [path for path in written if path.suffix == ".py" and path.parent.name.startswith("ganzoo_")]
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    use, model = tmp_path / "use.py", tmp_path / "readme_model.py"
    use.write_text(next(text for text in examples if "ganzoo.load" in text), encoding="utf-8")
    model.write_text(README_IMPORTS + next(text for text in examples if "class SketchGAN" in text), encoding="utf-8")
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import ganzoo\n\nganzoo.load(3)\nganzoo.load('run').translate('a.jpg', to=7)\n", encoding="utf-8")
    said = checked(tmp_path, *files, use, model, wrong)
    lines = [line for line in said.splitlines() if ": error:" in line]
    assert len([line for line in lines if line.startswith("wrong.py")]) == 2, said  # it is really checked
    assert not [line for line in lines if not line.startswith("wrong.py")], said


def test_type_checkers_see_the_whole_public_api():
    tree = ast.parse(Path(ganzoo.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == ganzoo._HOME
