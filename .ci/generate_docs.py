"""Write the generated parts of the docs; with --check, fail where one is stale instead."""

import re
import sys
import textwrap
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
#: The title of a table that is for the page of arms.
CAUSES = "What causes the differences"
EXAMPLE = DOCS.parent / "tests" / "example_port"


def checks() -> str:
    """The table of checks."""
    from trigru.common.equality.checks import CHECKS, ON_DEVICES, THOROUGH

    def asked(check):
        if check.exact:
            return "bit for bit"
        if check.name == "contract":
            return "same function, accurate in float32, bfloat16, float16 and two mixtures"
        same = ["same function"] if "float64" in check.dtypes else []
        accurate = [f"accurate in {dtype}" for dtype in check.dtypes if dtype != "float64"]
        by_name = " (by name)" if check.by_name else " (`--thorough`)" if check in THOROUGH else ""
        by_name = " (`--devices`)" if check in ON_DEVICES else by_name
        return ", ".join(same + accurate) + (", in every call style" if check.styles_of else "") + by_name

    rows = [f"| {c.name} | {c.catches} | {asked(c)} |" for c in (*CHECKS, *THOROUGH, *ON_DEVICES)]
    return "\n".join(["| check | what it catches | asked |", "| --- | --- | --- |", *rows])


def factors() -> str:
    """The table of what a call depends on."""
    from trigru.common.equality.contract.factors import CHOICES, FACTORS

    rows = [f"| {factor.name} | {', '.join(factor.levels)} |" for factor in FACTORS]
    own = [
        "| style | none, and each call style of the port |",
        f"| choices | of the fused kernel: {', '.join(CHOICES)} |",
    ]
    return "\n".join(["| factor | levels, the usual one first |", "| --- | --- |", *rows, *own])


def coverage() -> str:
    """How many programs a port is asked, and what they cover."""
    from trigru.common.equality.contract.designs import coverage_of, design_of
    from trigru.common.port.protocol import WithKernel
    from trigru.impls import get_port

    lines = []
    for name, port in (("linen", get_port("linen")), ("linen:fused", WithKernel(get_port("linen"), "fused"))):
        rows = design_of(port)
        held, of = coverage_of(port, rows)
        lines.append(f"{name}: {len(rows)} programs cover {held} of {of} pairs and triples of levels.")
    return "\n".join(["```text", *lines, "```"])


def rules() -> str:
    """The list of what cannot go together."""
    from trigru.common.equality.contract.factors import CHOICE_RULES, COARSE_RULES, RULES

    def said(levels):
        return " and ".join(f"{name} {' or '.join(some)}" for name, some in levels.items())

    def line(rule, where=""):
        return f"- {where}{said(rule.when) or 'every row'}: only {said(rule.then)}, since {rule.why}."

    return "\n".join(
        [*map(line, (*RULES, *CHOICE_RULES)), *(line(rule, "in a coarse dtype, ") for rule in COARSE_RULES)]
    )


def changes() -> str:
    """The table of what can change between two snapshots."""
    from trigru.bench.upgrades.changes import KINDS

    return "\n".join(["| kind | it |", "| --- | --- |", *(f"| `{kind}` | {what} |" for kind, what in KINDS.items())])


def workloads() -> str:
    """The table of workloads."""
    from trigru.bench.arms.workloads import QUICK, WORKLOADS

    rows = [
        f"| `{w.name}` | {w.batch_size} | {w.time} | {w.input_size} | {w.hidden_size} "
        f"| {w.parameters():,} | {w.summary} |"
        for w in WORKLOADS
    ]
    header = "| workload | B | T | D | H | parameters | what it stands for |"
    quick = ", ".join(f"`{name}`" for name in QUICK)
    return "\n".join(
        [header, "| --- | ---: | ---: | ---: | ---: | ---: | --- |", *rows, "", f"`--quick` takes {quick}."]
    )


def styles() -> str:
    """The table of call styles."""
    from trigru.bench.reporting.styles import style_rows

    def cells(row):
        source = f" ([source]({row.style.source}))" if row.style.source else ""
        return row.port.title, f"`{row.style.name}`", row.labels, f"`{row.style.summary}`{source}"

    rows = [f"| {' | '.join(cells(row))} |" for row in style_rows(_own_ports())]
    return "\n".join(["| port | call style | label | what its user writes |", "| --- | --- | --- | --- |", *rows])


def _own_ports():
    from trigru.impls import get_port

    return [get_port(name) for name in ("pure", "linen", "nnx", "equinox")]


def _train_step(label: str) -> str:
    """The code of a train step in a call style, in a tab for each framework."""
    from trigru.common.port.styles import styles_called
    from trigru.impls.code import code_of

    tabs = []
    for port in _own_ports()[1:]:
        (style,) = styles_called(port, (label,), "train_step")
        block = f"```python\n{code_of(port.name, {'train_step': style})}```"
        tabs.append(f'=== "{port.title}"\n\n{textwrap.indent(block, "    ")}')
    return "\n\n".join(tabs)


def results() -> str:
    """The page of published results: the screen, the picture, and what is said of frameworks."""
    from pictures import themed_picture  # beside this script
    from trigru.bench.reporting.equality import equality_tables
    from trigru.bench.reporting.frameworks import framework_tables
    from trigru.bench.reporting.overhead import overhead_tables
    from trigru.bench.reporting.provenance import provenance_lines
    from trigru.bench.reporting.sections import markdown, markdown_table
    from trigru.bench.results.files import load

    found, sweep = (load(DOCS / "results" / f"{name}.json") for name in ("cpu", "sweep"))
    _, by_size = overhead_tables(sweep)
    tables = [t for t in framework_tables(found) if t.title != CAUSES]
    tables += [*overhead_tables(found), *equality_tables(found.trigru.equality or [])]
    return "\n".join(
        [
            markdown("Results from one machine", provenance_lines(found), []),
            "[Results, arm by arm](results-by-arm.md) has the times and the program of each arm.",
            "",
            "## On one screen",
            "",
            screen(),
            "",
            themed_picture("answer-all", "Each framework as documented and called alike, in every row"),
            "",
            "## Against model size",
            "",
            "Another run, on a slower machine of the same name (see the limits below): not to be compared.",
            "",
            themed_picture("sweep", "Throughput and cost over plain JAX against hidden size"),
            "",
            markdown_table(by_size),
            "",
            *(f"- {note}" for note in by_size.notes),
            "",
            "\n\n".join(provenance_lines(sweep)),
            "",
            markdown("", [], tables).removeprefix("# \n\n"),
        ]
    )


def results_by_arm() -> str:
    """The page of all arms: what causes differences, and times and programs of each group."""
    from trigru.bench.reporting.frameworks import framework_tables
    from trigru.bench.reporting.provenance import provenance_lines
    from trigru.bench.reporting.sections import markdown
    from trigru.bench.reporting.times import timing_tables
    from trigru.bench.results.files import load

    found = load(DOCS / "results" / "cpu.json")
    tables = [*(t for t in framework_tables(found) if t.title == CAUSES), *timing_tables(found)]
    summary = "These are the tables behind [the summary](results.md), an arm a row."
    return markdown("Results, arm by arm", provenance_lines(found), tables).replace("\n\n", f"\n\n{summary}\n\n", 1)


def layouts() -> str:
    """The table of containers and the layouts that they are written in, and that of each layout's arrays."""
    from trigru.impls.checkpoints import layouts
    from trigru.impls.checkpoints.containers import CONTAINERS

    known = layouts()
    table = [f"| container | suffix | {' | '.join(known)} | read by |", "| --- " * (3 + len(known)) + "|"]
    for c in CONTAINERS:
        suffixes = ", ".join(f"`{suffix}`" for suffix in c.suffixes)
        takes = ["yes" if c.layouts is None or name in c.layouts else "–" for name in known]
        table.append(f"| {c.title} | {suffixes} | {' | '.join(takes)} | `{c.reader}` |")
    arrays = ["| layout | arrays |", "| --- | --- |"]
    arrays += [
        f"| `{n}`: {layout.title} | {', '.join(f'`{a}`' for a in layout.table())} |" for n, layout in known.items()
    ]
    return "\n".join([*table, "", *arrays])


def faults() -> str:
    """The table of faults."""
    from trigru.impls.faults import FAULTS

    rows = [f"| {fault.name} | {fault.what} | {fault.check} |" for fault in FAULTS]
    return "\n".join(["| fault | what is wrong | the check that is there for it |", "| --- | --- | --- |", *rows])


def example() -> str:
    """The module of the example package."""
    return _fenced("python", EXAMPLE / "gru_by_hand.py")


def example_project() -> str:
    """What makes the example a package."""
    return _fenced("toml", EXAMPLE / "pyproject.toml")


def _fenced(language: str, path: Path) -> str:
    return f"```{language}\n{path.read_text(encoding='utf-8')}```"


def departures() -> str:
    """The table of departures. It leaves out what is seen of them, which depends on what is installed."""
    from trigru.impls.upstream import NAMES, get_upstream

    rows = []
    for name in NAMES:
        for d in get_upstream(name).DEPARTURES:
            what = f"[{d.what}]({d.source})" if d.source else d.what
            rows.append(f"| `{d.part}` | {what} | {', '.join(d.checks) or 'its own evidence'} |")
    return "\n".join(["| part | departure | shows in |", "| --- | --- | --- |", *rows])


def known_faults() -> str:
    """The table of JAX's own faults."""
    from trigru.impls.upstream.known import KNOWN

    rows = [f"| `{k.part}` | {k.what} | {k.package} before {k.fixed_in} |" for k in KNOWN]
    return "\n".join(["| program | what happens | seen with |", "| --- | --- | --- |", *rows])


def _calibration(name: str) -> str:
    """Verdicts on arms whose truth is known."""
    from trigru.bench.reporting.calibration import calibration_tables
    from trigru.bench.reporting.provenance import provenance_lines
    from trigru.bench.reporting.sections import markdown_table
    from trigru.bench.results.files import load

    found = load(DOCS / "results" / f"{name}.json")
    (table,) = calibration_tables(found)
    return "\n\n".join([markdown_table(table), *table.notes, *provenance_lines(found)])


def cold_start() -> str:
    """How long each port's users wait for the first train step."""
    import json

    import msgspec
    from trigru.bench.reporting.sections import markdown_table
    from trigru.bench.reporting.starts import cold_start_tables
    from trigru.bench.timing.coldstart import ColdStart

    content = json.loads((DOCS / "results" / "cold_start.json").read_text(encoding="utf-8"))
    loads = content["load_before"], content["load_after"]
    (table,) = cold_start_tables(msgspec.convert(content["starts"], list[ColdStart]), content["datetime"], loads)
    versions = ", ".join(f"{name} {version}" for name, version in content["machine"]["versions"].items())
    return "\n\n".join([markdown_table(table), *table.notes, f"{content['machine']['device']}; {versions}."])


def _kernel(name: str) -> str:
    """The fused kernel against the frameworks' own cells and peers, in one of the published runs."""
    from trigru.bench.reporting.kernels import kernel_tables
    from trigru.bench.reporting.provenance import provenance_lines
    from trigru.bench.reporting.sections import markdown_table
    from trigru.bench.results.files import load

    found = load(DOCS / "results" / f"{name}.json")
    parts = []
    for section in kernel_tables(found):
        parts += [f"**{section.title}**", markdown_table(section), *section.notes]
    return "\n\n".join([*parts, *provenance_lines(found)])


def kernel_choices() -> str:
    """What each choice of the fused kernel gains on each workload, and what memory it takes."""
    import numpy as np
    from trigru.bench.analysis.speedups import speedups
    from trigru.bench.analysis.statistics import as_ratio, effect_of, verdict
    from trigru.bench.reporting.provenance import provenance_lines
    from trigru.bench.results.files import load

    found = load(DOCS / "results" / "kernel_choices.json")
    (port,), (phase,), plan = found.trigru.plan.ports, found.trigru.plan.phases, found.trigru.plan
    workloads, kernels = [str(w) for w in plan.workloads], [str(kernel) for kernel in plan.kernels]
    gains = {(s.kernel, str(s.benchmark.arm.workload)): s for s in speedups(found)}

    def cells(kernel):
        for workload in workloads:
            ratio, share = gains[kernel, workload].ratio, gains[kernel, workload].temp_share
            yield f"{ratio.ratio:.2f} [{ratio.low:.2f}, {ratio.high:.2f}], {share:.2f}"

    head = ["| kernel | " + " | ".join(workloads) + " |", "| --- " * (1 + len(workloads)) + "|"]
    table = [*head, *(f"| `{kernel}` | {' | '.join(cells(kernel))} |" for kernel in kernels)]
    note = f"{port}, {phase}: speedup, stock / kernel, with its 95 % interval; and temporary memory, kernel / stock."

    def said(kernel):
        """What a choice does beside the default, paired within rounds."""
        on: dict[str, list[str]] = {}
        for workload in workloads:
            arm, default = gains[kernel, workload].benchmark, gains["fused", workload].benchmark
            log_ratio = np.log(arm.time_s) - np.log(default.time_s)
            effect = as_ratio(effect_of(log_ratio, arm.facts.process, plan.seed))
            on.setdefault(verdict(effect, arm.facts.floor), []).append(f"`{workload}`")
        found = "; ".join(f"{how} on {', '.join(some)}" for how, some in sorted(on.items()))
        return f"- `{kernel}` is {found}."

    lines = ["Beside the default, in the same rounds:", "\n".join(said(kernel) for kernel in kernels[1:])]
    return "\n\n".join(["\n".join(table), note, *lines, *provenance_lines(found)])


def recipes() -> str:
    """The table of recipes, in the order of the site, with the length of each framework's code.

    A page with several recipes has a row for each heading that has tabs below it.
    """
    rows, titles = [], {}
    for name in re.findall(r"recipes/(.+\.md)", (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")):
        text = (DOCS / "recipes" / name).read_text(encoding="utf-8")
        page, found = text.splitlines()[0].removeprefix("# "), {}
        for part in re.split(r"^## ", text, flags=re.MULTILINE):
            tabs = re.findall(r'^=== "([^"]+)"\n\n    ```python\n(.*?)^    ```', part, re.MULTILINE | re.DOTALL)
            titles |= dict.fromkeys(title for title, _ in tabs)
            found |= {part.splitlines()[0].removeprefix("# "): tabs} if tabs else {}
        for number, (heading, tabs) in enumerate(found.items()):
            cells = [f"[{len(code.splitlines())} lines]({name}#{_tab(title, number)})" for title, code in tabs]
            link = f"[{page}]({name})" if heading == page else f"[{page}: {_lower(heading)}]({name}#{_slug(heading)})"
            rows.append(f"| {link} | {' | '.join(cells)} |")
    return "\n".join([f"| recipe | {' | '.join(titles)} |", "| --- " * (1 + len(titles)) + "|", *rows])


def _tab(title: str, number: int) -> str:
    """The anchor of a tab, the titles of which come back with each recipe of a page."""
    return _slug(title) + (f"_{number}" if number else "")


def _slug(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def _lower(heading: str) -> str:
    return heading[0].lower() + heading[1:]


def decision() -> str:
    """What each framework takes in a situation, and what to write."""
    from decision import decision_tables  # beside this script

    return decision_tables(DOCS / "results")


def versions() -> str:
    """The published run beside one with older versions."""
    from versions import version_tables  # beside this script

    return version_tables(DOCS / "results")


def _claim(name: str) -> str:
    """A table of what was said in public, measured like for like."""
    from claims import PARTS  # beside this script

    return PARTS[name](DOCS / "results")


def _program(part: str) -> str:
    """What exchanging the GRU in a recurrent PPO loop changes."""
    import program  # beside this script

    return getattr(program, part)(*([] if part in ("difference", "lines") else [DOCS / "results"]))


def devices() -> str:
    """What spreading a batch over devices gains."""
    from devices import devices as table  # beside this script

    return table(DOCS / "results")


def _releases(part: str) -> str:
    """A part of the page of what each release changed."""
    from releases import release_tables  # beside this script

    return release_tables(DOCS / "results", part)


def command_line() -> str:
    """The arguments and options of every command."""
    from commands import commands  # beside this script

    return commands()


def screen() -> str:
    """The screen of the published run."""
    from trigru.bench.analysis.answer import answer
    from trigru.bench.reporting.answer import answer_lines
    from trigru.bench.results.files import load

    lines = answer_lines(answer(load(DOCS / "results" / "cpu.json")))
    return "\n".join(["```text", *lines, "```"])


def answers() -> str:
    """The answers of the README, in a tab for each framework."""
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    tabs = []
    for title in ("Flax linen", "Flax NNX", "Equinox"):
        (block,) = re.findall(rf"^\*\*{title}\*\*\n\n(```python\n.*?^```)$", text, re.MULTILINE | re.DOTALL)
        tabs.append(f'=== "{title}"\n\n{textwrap.indent(block, "    ")}')
    return "\n\n".join(tabs)


def results_json() -> str:
    """The keys of a results file."""
    from keys import tables_of  # beside this script
    from trigru.bench.results.record import Results

    return tables_of(Results)


def _trained(name: str, table: str) -> str:
    """A table of what `trigru train` left."""
    import trigru.bench.training.tables as tables
    from trigru.bench.reporting.sections import markdown_table
    from trigru.bench.training.record import load_record

    record = load_record(DOCS / "results" / f"{name}.json")
    if record.quick or not record.complete:
        raise SystemExit(f"docs/results/{name}.json is of a quick or interrupted run: not to be published.")
    found = {
        "agreement": lambda: tables.agreement_table(record.agreement),
        "gains": lambda: tables.gain_table(record.runs),
        "vanishing": lambda: tables.vanishing_table(record.vanishing),
    }[table]()
    versions = ", ".join(f"{package} {version}" for package, version in record.machine.versions.items())
    source = f"{record.datetime[:10]}, {record.machine.device}: `{' '.join(record.command)}`; {versions}."
    return "\n\n".join([markdown_table(found), *found.notes, source])


PARTS = {
    "training-agreement": lambda: _trained("training", "agreement"),
    "training-gains": lambda: _trained("training", "gains"),
    "vanishing": lambda: _trained("vanishing", "vanishing"),
    "calibration": lambda: _calibration("calibration"),
    "calibration-again": lambda: _calibration("calibration_again"),
    "cold-start": cold_start,
    "kernel": lambda: _kernel("kernel"),
    "inference": lambda: _kernel("inference"),
    "kernel-choices": kernel_choices,
    "changes": changes,
    "checks": checks,
    "coverage": coverage,
    "factors": factors,
    "rules": rules,
    "faults": faults,
    "workloads": workloads,
    "styles": styles,
    "results-json": results_json,
    "train-step-documented": lambda: _train_step("documented"),
    "train-step-functional": lambda: _train_step("functional"),
    "example": example,
    "example-project": example_project,
    "layouts": layouts,
    "departures": departures,
    "known-faults": known_faults,
    "decision": decision,
    "versions": versions,
    "claim-nnx-equinox": lambda: _claim("claim-nnx-equinox"),
    "claim-equinox-linen": lambda: _claim("claim-equinox-linen"),
    "claim-parameters": lambda: _claim("claim-parameters"),
    "claim-update": lambda: _claim("claim-update"),
    "claim-nnx-state": lambda: _claim("claim-nnx-state"),
    "claim-source": lambda: _claim("claim-source"),
    "claim-filter-jit": lambda: _claim("claim-filter-jit"),
    "program-lines": lambda: _program("lines"),
    "program-difference": lambda: _program("difference"),
    "program-equal": lambda: _program("equal"),
    "program-times": lambda: _program("times"),
    "program-finding": lambda: _program("finding"),
    "devices": devices,
    "releases-sets": lambda: _releases("sets"),
    "releases-picture": lambda: _releases("picture"),
    "releases-frameworks": lambda: _releases("frameworks"),
    "releases-met": lambda: _releases("met"),
    "commands": command_line,
    "screen": screen,
    "answers": answers,
    "recipes": recipes,
}


def pages() -> dict[Path, str]:
    """Every page with generated parts, as it should be."""
    whole = {DOCS / "results.md": results(), DOCS / "results-by-arm.md": results_by_arm()}
    found = dict(whole)
    for page in (DOCS.parent / "README.md", *DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        for name, make in PARTS.items():
            block = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
            text = block.sub(lambda m, make=make: f"{m[1]}\n{make()}\n\n{m[2]}", text)
        if page not in whole:
            found[page] = text
    return found


def main() -> int:
    """Write, or check."""
    stale = {
        page: text for page, text in pages().items() if not page.exists() or page.read_text(encoding="utf-8") != text
    }
    from pictures import draw  # beside this script

    pictures = draw(DOCS, check="--check" in sys.argv)
    if "--check" in sys.argv:
        for page in (*stale, *pictures):
            print(
                f"{page.relative_to(DOCS.parent)} is stale: run .venv/bin/python .ci/generate_docs.py", file=sys.stderr
            )
        return bool(stale or pictures)
    for page, text in stale.items():
        page.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
