"""Every option of every command changes what the function below it receives, and nothing else."""

from functools import cache

import pytest
from support.commands import JOINED, OPTIONS, USUAL, WAYS
from support.received import parameters_of, received
from trigru.bench.cli import app
from trigru.bench.commands.verify import Thorough
from trigru.bench.processes.cluster import Cluster
from typer.main import get_command

COMMANDS = get_command(app).commands
AT = Cluster("h:1", 4, 0)


def functions_of(seen):
    """The function that makes the plan, and the last that is called."""
    called = [name for name in seen if "." not in name and name != "released"]
    return {"plan": next((name for name in called if "plan" in name), ""), "done": called[-1]}


@pytest.mark.parametrize("words", USUAL)
def test_what_is_done_where_no_option_is_given(words):
    seen = received(*words.split())
    handed = {key: value for key, value in seen.items() if "." in key and (value or type(value) is int)}
    assert handed == USUAL[words]
    timed = "claim_folder" in seen and seen.get("claim_folder.timing", True)
    assert timed == (words.split()[0] in ("compare", "bench")), "what times nothing claims no machine"


@cache
def usual(words):
    return received(*words.split())


CASES = [(words, option) for words, options in OPTIONS.items() for option in options]


@pytest.mark.parametrize(("words", "option"), CASES)
def test_an_option_changes_what_it_says_and_nothing_else(words, option):
    seen = received(*words.split(), *option.split())
    functions, changes = functions_of(seen), {}
    for key, value in OPTIONS[words][option].items():
        function, _, parameter = key.partition(".")
        changes[f"{functions.get(function, function)}.{parameter}"] = value
    assert seen == usual(words) | changes


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_among_these(command):
    named = {option.split()[0] for words, option in CASES if words.split()[0] == command} | WAYS.get(command, set())
    yes = {"--no-cache": "--cache", "--no-equality": "--equality", "--": "command"}
    arguments = {p for p, found in parameters_of(command).items() if found.param_type_name == "argument"}
    assert {yes.get(name, name) for name in named} | arguments == parameters_of(command).keys()


@pytest.mark.parametrize("words", [w for w, options in OPTIONS.items() if "--output x" in options])
def test_a_folder_has_a_short_option_too(words):
    assert received(*words.split(), "-o", "x") == received(*words.split(), "--output", "x")


@pytest.mark.parametrize("words", [words for words in USUAL if words.split()[0] in ("compare", "bench", "train")])
def test_all_is_done_while_the_folder_is_claimed(words):
    seen = received(*words.split())
    *order, last = [key for key in seen if "." not in key]
    done = functions_of(seen | {"released": None})["done"]
    assert (order.index("claim_folder") < order.index(done), last) == (True, "released")


#: Of each way, what else it takes; what the command has beside that is refused.
TAKES = {way: {option.split()[0] for option in OPTIONS[way]} for way in OPTIONS if " --" in way}


@pytest.mark.parametrize("way", TAKES)
def test_a_way_refuses_every_option_that_it_would_ignore(way):
    command, word = way.split()
    of_command = {option for words, option in CASES if words.split()[0] == command} | WAYS[command]
    refused = {option for option in of_command - JOINED.keys() if option.split()[0] not in TAKES[way] | {word}}
    assert refused
    for option in sorted(refused):
        with pytest.raises(AssertionError, match="Usage"):
            received(command, word, *option.split())


@pytest.mark.parametrize("words", ["compare", "bench", "train"])
def test_a_run_is_gone_on_with_or_discarded(words):
    with pytest.raises(AssertionError, match="--resume and --discard"):
        received(words, "--resume", "--discard")


def test_many_devices_are_one_check_more():
    for option in ("--check step", "--dtype float64", "--upstream", "--self-test"):
        with pytest.raises(AssertionError, match="Usage"):
            received("verify", "--devices", "2", *option.split())
    seen = received("verify", "--devices", "2", "--kernel", "fused", "--port", "pure", "--thorough")
    assert (seen["verify.devices"], seen["verify.thorough"]) == (2, Thorough())


# several hosts


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("verify", ("--check step", "--dtype float64", "--thorough", "--self-test", "--upstream")),
        ("bench", ("--resume", "--calibrate", "--cold-start")),
    ],
)
def test_several_hosts_refuse_what_they_cannot_do_together(command, options):
    for option in options:
        with pytest.raises(AssertionError, match="several hosts"):
            received(command, *option.split(), read_cluster=AT)


def test_several_hosts_verify_what_each_is_told():
    seen = received("verify", "--port", "nnx", "--kernel", "fused", "--json", "--devices", "8", read_cluster=AT)
    assert {key.partition(".")[2]: seen[key] for key in seen if key.startswith("verify_together.")} == {
        "names": ["nnx"], "kernels": ["fused"], "cluster": AT, "json": True, "devices": 8,
    }  # fmt: skip
    assert "verify" not in seen
    assert "Prover" not in seen


@pytest.mark.parametrize("host", [0, 1, 3])
def test_one_of_several_hosts_writes_and_every_other_takes_part(host):
    at = Cluster("h:1", 4, host)
    seen = received("bench", "--devices", "4", "--discard", read_cluster=at)
    assert (seen["check_cluster.plan"], seen["check_cluster.cluster"]) == ("a plan", at)
    assert ("benchmark" in seen, "claim_folder" in seen, "take_part" in seen) == (not host, not host, bool(host))
    done = "take_part" if host else "benchmark"
    assert (seen[f"{done}.plan"], seen[f"{done}.cluster"]) == ("a plan", at)


# numbers and their limits

LIMITS = {
    "--rounds": (2, 100_000), "--processes": (1, 1000), "--limit": (1, None), "--seed": (0, 2**31 - 1),
    "--hosts": (2, 10_000), "--host": (0, None), "--seeds": (1, 100_000), "--fail-above": (0, 1000),
    "--budget": (1, 86400), "verify --devices": (2, 64), "--last": (1, None), "verify --seed": (0, None),
}  # fmt: skip


def limits_of(words, name):
    return LIMITS.get(f"{words.split()[0]} {name}", LIMITS.get(name))


@pytest.mark.parametrize(
    ("words", "name"), [(words, name) for words, option in CASES if limits_of(words, name := option.split()[0])]
)
def test_a_number_may_be_as_small_and_as_large_as_its_limits(words, name):
    least, most = limits_of(words, name)
    for limit, beyond in ((least, least - 1), (most, (most or 0) + 1)):
        if limit is not None:
            received(*words.split(), name, str(limit))
            with pytest.raises(AssertionError, match="is not in the range|should be"):
                received(*words.split(), name, str(beyond))


def test_a_change_that_fails_is_above_a_number():
    with pytest.raises(AssertionError, match="should be less than or equal to 1000"):
        received("diff", "a", "b", "--fail-above", "nan")


def test_one_of_new_and_now_is_named():
    for words in (["diff", "a"], ["diff", "a", "b", "--now"]):
        with pytest.raises(AssertionError, match="and not both"):
            received(*words)
    assert received("diff", "a", "--now")["diff.new"] is None
