"""What `trigru train` trains and measures where nothing else is asked for, and what it hands on."""

import re
from types import SimpleNamespace

import pytest
from support.cli import call, invoke
from support.received import parameters_of
from trigru.bench.commands import train as command
from trigru.bench.training.experiments import EXPERIMENTS

ALL, FRAMEWORKS = [experiment.name for experiment in EXPERIMENTS], ("linen", "nnx", "equinox")


@pytest.fixture
def seen(monkeypatch):
    """What is asked of the functions that train, draw and write, which do nothing."""
    seen = SimpleNamespace(studied=[], agreed=[], drawn=[], saved=[], shown=[])

    def study(experiments, names, count, *, known, keep, progress):
        seen.studied.append(([e.name for e in experiments], names, count))

    def vanishing(names, *, lengths, seeds, progress):
        seen.drawn.append((names, lengths, seeds))
        return "what was found"

    patches = {
        "study": study,
        "vanishing": vanishing,
        "agreement": lambda experiment, names: seen.agreed.append((experiment.name, names)) or [],
        "save_record": lambda path, record: seen.saved.append((path, record)),
        "write_training": lambda folder, record: [folder / "a.html", folder / "a.png"],
        "gain_table": lambda runs, **_: "gains",
        "agreement_table": lambda curves: "curves",
        "vanishing_table": lambda found: f"a table of {found}",
        "show": seen.shown.extend,
    }
    for name, function in patches.items():
        monkeypatch.setattr(command, name, function)
    return seen


@pytest.mark.parametrize(
    ("words", "experiments", "names", "seeds"),
    [
        ("", ALL, FRAMEWORKS, 20),
        ("--quick", ["sunspots-2"], FRAMEWORKS, 10),
        ("--seeds 7", ALL, FRAMEWORKS, 7),
        ("--quick --seeds 1", ["sunspots-2"], FRAMEWORKS, 1),
        ("--quick --experiment vowels", ["vowels"], FRAMEWORKS, 10),
        ("--experiment vowels --experiment sunspots-8 --experiment vowels", ["vowels", "sunspots-8"], FRAMEWORKS, 20),
        ("--port nnx --port linen --port nnx", ALL, ("nnx", "linen"), 20),
    ],
)
def test_what_is_trained_and_how_often(seen, tmp_path, words, experiments, names, seeds):
    done = invoke("train", *words.split(), "-o", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert seen.studied == [(experiments, names, seeds)]
    assert seen.agreed == [(name, names) for name in experiments], "each is checked before"
    ((path, record),) = seen.saved
    assert path == tmp_path / "training.json"
    assert (record.quick, record.complete, record.vanishing) == ("--quick" in words, True, None)
    assert seen.shown == ["curves", "gains"]
    assert f"Wrote {tmp_path}/training.json, a.html, a.png and params/ (fitted, of seed 0)." in done.stderr


@pytest.mark.parametrize(
    ("words", "names", "lengths", "draws"),
    [
        ("", FRAMEWORKS, 12, 3),
        ("--quick", FRAMEWORKS, 7, 1),
        ("--seeds 5", FRAMEWORKS, 12, 5),
        ("--seeds 5 --quick --port equinox", ("equinox",), 7, 5),
    ],
)
def test_of_how_many_draws_and_lengths_gradients_are_measured(seen, tmp_path, words, names, lengths, draws):
    done = invoke("train", "--vanishing", *words.split(), "-o", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert seen.drawn == [(names, tuple(2**power for power in range(lengths)), draws)]
    ((path, record),) = seen.saved
    assert (path, record.vanishing, record.quick) == (tmp_path / "vanishing.json", "what was found", "--quick" in words)
    assert seen.shown == ["a table of what was found"]
    assert not seen.studied
    assert done.stderr.endswith(f"Wrote {tmp_path}/vanishing.json, a.html, a.png.\n")


def test_the_help_says_these_numbers():
    said = parameters_of("train")["--seeds"].help
    assert list(map(int, re.findall(r"\d+", said))) == [command.SEEDS, command.QUICK_SEEDS, command.DRAWS, 1]


@pytest.mark.parametrize("words", [("train",), ("bench",), ("compare", "--port", "pure")])
def test_a_journal_that_is_a_link_to_nowhere_is_in_the_way(seen, tmp_path, monkeypatch, words):
    for begins in ("compare.verify_ports", "bench.run"):
        monkeypatch.setattr(f"trigru.bench.commands.{begins}", lambda *_, **__: pytest.fail("it has begun"))
    for name in ("training", "results"):
        (tmp_path / f"{name}.partial.jsonl").symlink_to(tmp_path / "nowhere")
    code, out, err = call(*words, "-o", str(tmp_path))
    assert (code, out) == (2, "")
    assert "is in the way" in err
    assert not seen.agreed
