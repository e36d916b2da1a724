"""Compares public models with their ports, and writes docs/survey.md: `python
bench/studies/survey/survey.py`, with the names of pairs to compare these alone.

Each file in `pairs` is what a porter writes by docs/port.md. Each pair runs in a
process of its own, with limits. docs/results/survey.json keeps the records.
"""

import ast
import json
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DOCS = HERE.parents[2] / "docs"
RECORDS = DOCS / "results" / "survey.json"
PAGE = DOCS / "survey.md"
MOST_S, MOST_BYTES = 900, 12 * 2**30

VERDICTS = {
    "same": "the same",
    "only if": "the same only if",
    "another": "another",
    "unknown": "cannot be told",
    "not compared": "not compared",
}
#: Packages of which a row says no version: all pairs have them.
COMMON = {"numpy", "trigru"}
HEAD = """# A survey of public ports

`trigru port` was run on {count} pairs of public models and layers, each with random
parameters. Each file was written as [the guide](port.md) says, and stands in
`bench/studies/survey/pairs`. `python bench/studies/survey/survey.py` compares them
again.

{verdicts}

- **Checked** says how the pair was checked without trigru's matching of parameters.
  They were copied by the library's own converter, by hand, or in their order. Then
  both models were evaluated in float64. The number is the largest difference of their
  outputs, relative to the largest magnitude. About 1e-7 is rounding, where a model
  computes in float32 whatever it is given.
- **Took** is the time on the CPU for the whole comparison, with the peak memory of the
  process. The machine was busy.
- A verdict that is **not checked** may be wrong. The pairs were compared one by one on
  2026-12-03, some before the comparison had its last changes.

| model | parameters | verdict | checked | took |
| --- | ---: | --- | --- | ---: |
"""


def main(names: list[str]) -> None:
    """Compare some pairs, or all, and write the page."""
    records = json.loads(RECORDS.read_text()) if RECORDS.exists() else {}
    every = sorted(path.stem for path in (HERE / "pairs").glob("*.py"))
    for name in names or every:
        print(name, flush=True)
        records[name] = {**described(name), **compared(name)}
        RECORDS.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(page([records[name] for name in every if name in records]))


def described(name: str) -> dict[str, Any]:
    """What a pair is, by its docstring, and the versions of what it imports."""
    tree = ast.parse((HERE / "pairs" / f"{name}.py").read_text())
    kind, _, title = (ast.get_docstring(tree) or "").partition(": ")
    versions = {}
    owners = metadata.packages_distributions()
    for package in sorted(_imported(tree) - COMMON):
        for owner in owners.get(package, [])[:1]:  # none of the standard library
            versions[owner] = metadata.version(owner)
    return {"kind": kind, "title": title.rstrip("."), "versions": versions}


def _imported(tree: ast.Module) -> set[str]:
    """The top-level packages that a file imports."""
    packages = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            packages.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            packages.add(node.module.partition(".")[0])
    return packages


def compared(name: str) -> dict[str, Any]:
    """The record of a pair, from a process of its own."""
    command = [sys.executable, str(HERE / "one.py"), name]
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, timeout=MOST_S, preexec_fn=_limit
        )
    except subprocess.TimeoutExpired:
        return {"verdict": "not compared", "reason": f"No verdict in {MOST_S} s."}
    if process.returncode:
        *_, last = process.stderr.strip().splitlines() or [""]
        return {"verdict": "not compared", "reason": last}
    *_, line = process.stdout.splitlines()
    return json.loads(line)


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))


def page(records: list[dict[str, Any]]) -> str:
    """The page on all records."""
    counts = Counter(VERDICTS[record["verdict"]] for record in records)
    words = [f"{verdict}: {count}" for verdict, count in counts.most_common()]
    verdicts = f"The verdicts: {', '.join(words)}."
    text = HEAD.format(count=len(records), verdicts=verdicts)
    ordered = sorted(records, key=lambda record: (record["kind"], record["title"]))
    text += "".join(map(_row, ordered))
    text += "\n## Where they part\n"
    for record in ordered:
        if record["verdict"] != "same":
            text += "".join(_differences(record))
    text += "\n## Versions\n\n"
    versions = {}
    for record in records:
        versions |= record["versions"]
    names = sorted(versions, key=str.lower)
    return text + ", ".join(f"{name} {versions[name]}" for name in names) + ".\n"


def _row(record: dict[str, Any]) -> str:
    took = ""
    if "cpu_s" in record:
        took = f"{record['cpu_s']:.0f} s, {record['peak_bytes'] / 2**30:.1f} GiB"
    cells = [
        f"{record['kind']}: {record['title']}",
        _in_words(record.get("candidate_parameters", 0)),
        VERDICTS[record["verdict"]],
        record.get("checked", "not checked"),
        took,
    ]
    return f"| {' | '.join(cells)} |\n"


def _in_words(count: int) -> str:
    """How many parameters a model has.

    >>> _in_words(11_700_000)
    '11.7 million'
    """
    return f"{count / 1e6:.1f} million" if count >= 1e6 else f"{count:,}"


def _differences(record: dict[str, Any]) -> Iterator[str]:
    """What differs in a pair, and the first place."""
    verdict = VERDICTS[record["verdict"]]
    yield f"\n**{record['title']}**: {verdict}. {record['reason']}\n"
    for place in record.get("places", [])[:1]:
        sentence = " ".join(filter(None, (place["mend"], place["cause"])))
        yield f"\n- {sentence}\n"
        for whose in ("candidate", "reference"):
            here = place[whose]
            if here is not None:
                file = here["file"].rpartition("site-packages/")[2]
                file = file.rpartition("/pairs/")[2]
                text = here["text"].replace("`", "'")
                yield f"    - {whose} `{file}:{here['line']}`: `{text}`\n"


if __name__ == "__main__":
    main(sys.argv[1:])
