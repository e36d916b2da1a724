"""Text from files, names and the environment, made inert: one function for each place where it is shown."""

import re
import unicodedata

_LINE_STARTS = re.compile(r"^([#>+=~|-]|\d+[.)]\s)")


def for_terminal(text: str) -> str:
    r"""What a terminal shows as it is: without control characters, and what changes the direction of text.

    >>> for_terminal("a\x1b[31mb\nc")
    'a\\x1b[31mb\\nc'
    """
    return "".join(c if _is_shown(c) else _escape(c) for c in text)


def for_markdown(text: str, *, cell: bool = False) -> str:
    r"""What Markdown shows as it is, in a paragraph or in a cell of a table.

    >>> for_markdown("<script> a|b [x](http://y)"), for_markdown("# a\n# b")
    ('&lt;script> a\\|b [x]\\(http://y)', '\\# a\\n# b')
    """
    text = for_terminal(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("](", "]\\(")
    return text if cell else _LINE_STARTS.sub(r"\\\1", text)


def _is_shown(character: str) -> bool:
    return (character.isascii() and character.isprintable()) or unicodedata.category(character) not in {
        "Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp",
    }  # fmt: skip


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
