"""The public API as Markdown, read from the source without importing it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).parents[1]
Thing = griffe.Object | griffe.Alias


def load(root: Path = ROOT) -> dict[str, griffe.Module]:
    """The packages that docs/reference documents, by name."""
    folders = {"ganzoo": root, "ganzoo_testing": root / "plugins" / "ganzoo-testing"}
    return {name: griffe.load(name, search_paths=[folder]) for name, folder in folders.items()}


def find(packages: dict[str, griffe.Module], name: str) -> Thing:
    """What a name such as `ganzoo.Trainer` or `ganzoo.clock.Clock` stands for."""
    package, _, inner = name.partition(".")
    home = lazy_names(packages["ganzoo"]).get(inner) if package == "ganzoo" else None
    return packages[package][f"{home.removeprefix('ganzoo.')}.{inner}" if home else inner]


def public_api(root: Path = ROOT) -> Iterator[tuple[str, Thing]]:
    """The names of `ganzoo.__all__`, hooks, helpers and testing kit, and what the classes among them have, by name."""
    packages = load(root)
    core, kit = packages["ganzoo"], packages["ganzoo_testing"]
    names = [*lazy_names(core), *re.findall(r"['\"](\w+)['\"]", str(core["__all__"].value))]
    things = {f"ganzoo.{name}": find(packages, f"ganzoo.{name}") for name in names}
    things |= {f"ganzoo_testing.{name}": kit[name] for name in kit.exports}
    for module in ("hooks", "attributes", "nets.layers"):
        things |= {f"ganzoo.{module}.{thing.name}": thing for thing in _members(core[module])}
    for name, thing in things.items():
        yield name, thing
        for part in _members(thing) if thing.is_class else ():
            yield f"{name}.{part.name}", part


def lazy_names(package: griffe.Module) -> dict[str, str]:
    """What `ganzoo.__getattr__` serves: name -> its home module."""
    modules = ast.literal_eval(str(package["_NAMES"].value))
    return {name: module for module, names in modules.items() for name in names.split()}


def markdown(packages: dict[str, griffe.Module], name: str, members: list[str], level: int) -> str:
    """A class, function or value with all that is public in it, or of a module what is, under headings of this level.

    `members`: of a class only these.
    """
    thing = find(packages, name)
    if thing.is_module:
        return "\n\n".join(markdown(packages, f"{name}.{part.name}", [], level) for part in _members(thing))
    lines = [f'<a id="{name}"></a>', "", f"{'#' * level} `{name}`", "", *_signature(thing, name), _text(thing)]
    parts = [part for part in _members(thing) if not members or part.name in members] if thing.is_class else []
    values = [part for part in parts if part.is_attribute]
    for part in values:
        kind = f" (`{part.annotation}`)" if part.annotation else ""
        lines += ["", f'<a id="{name}.{part.name}"></a>', "", f"**`{part.name}`**{kind}: {_text(part)}"]
    for part in (part for part in parts if part not in values):
        lines += ["", f'<a id="{name}.{part.name}"></a>', "", f"{'#' * (level + 1)} `{part.name}`", ""]
        lines += [*_signature(part, part.name), _text(part)]
    return "\n".join(lines).rstrip()


def _members(thing: Thing) -> list[Thing]:
    """What has to be documented of a module or class, in the order of the source; before it, of bases that are not."""
    exports = (thing.exports or ()) if thing.is_module else ()
    found = []
    for name, member in thing.members.items():
        constant = thing.is_module and (name.isupper() or name in ("hookspec", "hookimpl"))
        if name in exports or (is_public(member) and not constant):
            found.append(member)
    inherited = [member.final_target for member in thing.inherited_members.values()] if thing.is_class else []
    public = lazy_names(thing.package) if "_NAMES" in thing.package.members else {}
    bases = [member for member in inherited if public and member.parent.name not in public]
    return [*filter(is_public, bases), *sorted(found, key=lambda member: member.lineno or 0)]


def is_public(thing: Thing) -> bool:
    """Whether a member has to be documented: it is defined here, and not only set in a method without a word."""
    if (thing.name.startswith("_") and thing.name != "__call__") or thing.is_alias or thing.is_module:
        return False
    methods = [other for other in thing.parent.members.values() if not other.is_alias and other.is_function]
    silent = not (thing.is_function or thing.has_docstring)
    return not silent or not any(method.lineno <= thing.lineno <= method.endlineno for method in methods)


def _code(expression: object) -> str:
    """As the project's sources write it."""
    text = str(expression)
    return text if '"' in text else text.replace("'", '"')


def _text(thing: Thing) -> str:
    return thing.docstring.value if thing.docstring else ""


def _signature(thing: Thing, name: str) -> list[str]:
    """How it is called, or what it is worth, as a block of code."""
    if thing.is_attribute:
        return ["```python", f"{name.rpartition('.')[2]} = {_code(thing.value)}", "```", ""] if thing.value else []
    called = name.rpartition(".")[2] if thing.is_class or "." in name else name
    if "property" in thing.labels:
        return [f"Property: `{thing.returns}`.", ""]
    parameters = _parameters(thing)
    end = f" -> {thing.returns}" if thing.is_function and thing.returns else ""
    line = f"{called}({', '.join(parameters)}){end}"
    if len(line) > 100:
        line = "\n".join([f"{called}(", *(f"    {parameter}," for parameter in parameters), f"){end}"])
    return ["```python", line, "```", ""]


def _parameters(thing: Thing) -> list[str]:
    shown: list[str] = []
    kinds = [parameter.kind for parameter in thing.parameters]
    for parameter in thing.parameters:
        if parameter.name in ("self", "cls") and not shown:
            continue
        kind = parameter.kind
        if kind is griffe.ParameterKind.keyword_only and griffe.ParameterKind.var_positional not in kinds:
            shown += ["*"] if "*" not in shown else []
        stars = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(kind, "")
        text = f"{stars}{parameter.name}" + (f": {_code(parameter.annotation)}" if parameter.annotation else "")
        if parameter.default is not None and not stars:
            text += f" = {_code(parameter.default)}" if parameter.annotation else f"={_code(parameter.default)}"
        shown.append(text)
    return shown
