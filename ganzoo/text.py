"""Names of strangers (of files, plugins, models in a checkpoint) as text that only says something."""

import unicodedata

ACTING = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format (text that runs backwards), half characters, line separators


def printable(text: str, keep: str = "") -> str:
    r"""The text with escapes such as \u001b for whatever acts on a terminal or breaks a line, but what is in `keep`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or unicodedata.category(c) not in ACTING else _escape(c) for c in text)


def is_text(name: str) -> bool:
    """Whether a name is UTF-8 text, as those of files need not be."""
    return name.isascii() or not any("\ud800" <= c <= "\udfff" for c in name)


def _escape(character: str) -> str:
    return f"\\u{ord(character):04x}" if character <= "\uffff" else f"\\U{ord(character):08x}"
