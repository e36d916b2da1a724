"""Text from files, names and the environment, made inert: one function for each place where it is shown."""

import re

from ...common.errors import escape, for_terminal

#: What makes a line more than a paragraph: a heading, a quotation, a list, a rule, a fence, a table or a reference.
_LINE_STARTS = re.compile(r"^(?=[#>+*=~|[\x60-])|^\d+(?=[.)](?:\s|$))")
#: A backslash that would escape what follows it, what begins a table's cell, and links in their three forms.
_SPECIAL = re.compile(r"\\(?=[!-/:-@\[-\x60{-~])|\||(?<=\])[(\[]|(?<=:)/(?=/)|(?<=\bwww)\.")
#: What Markdown reads only in pairs. Within a word, an underscore is one.
_PAIRED = (re.compile(r"\*"), re.compile(r"(?<![^\W_])_|_(?![^\W_])"), re.compile(r"~"), re.compile(r"\x60"))
#: What LaTeX would not set as it is.
_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}",
    "µ": "$\\mu$", "<": "\\textless{}", ">": "\\textgreater{}", "|": "\\textbar{}", '"': "\\symbol{34}",
}  # fmt: skip
#: Between two of these, so that no pair becomes one character.
_LIGATURES = re.compile(r"(?<=[-`'!?,])(?=[-`',])")
#: What is an argument of the command before it, as of one that ends a row.
_ARGUMENT = re.compile(r"^(\s*[\[*])")


def for_markdown(text: str, *, cell: bool = False) -> str:
    """What Markdown shows as it is, in a paragraph or in a cell of a table."""
    text = for_terminal(text).replace("&", "&amp;").replace("<", "&lt;")
    text = _SPECIAL.sub(r"\\\g<0>", text)
    for mark in _PAIRED:
        if len(mark.findall(text)) > 1:
            text = mark.sub(r"\\\g<0>", text)
    return text if cell else _LINE_STARTS.sub(r"\g<0>\\", text.lstrip(" "))


def for_csv(text: str) -> str:
    """What a spreadsheet takes as text and never as a formula, in a cell of a CSV file."""
    text = for_terminal(text)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")) else text


def for_latex(text: str) -> str:
    r"""What LaTeX sets as it is, also at the start of a row of a table; what is not ASCII is escaped.

    >>> print(for_latex(r"\input{x} 50% a_b"), for_latex("[c]"), for_latex("µ, é"))
    \textbackslash{}input\{x\} 50\% a\_b {[}c] $\mu$, \textbackslash{}xe9
    """
    text = "".join(c if c.isascii() or c in _LATEX else escape(c) for c in for_terminal(text))
    text = _LIGATURES.sub("{}", "".join(_LATEX.get(c, c) for c in text))
    return _ARGUMENT.sub(r"{\1}", text)


def shortened(text: str) -> str:
    """A message in which no word is longer than a path is.

    >>> len(shortened("x" * 15000 + " is no number")), shortened("too long")
    (214, 'too long')
    """
    return re.sub(r"\S{201,}", lambda word: f"{word[0][:200]}…", text)
