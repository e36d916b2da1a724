"""How far a long command is, on a terminal and in a pipe."""

from trigru.bench.reporting.console import Progress


def test_progress_goes_to_a_share_or_on_by_one():
    with Progress("x") as progress:
        shown = []
        for go in (lambda: progress.to(0.5, "a"), lambda: progress.to(0.5, "b"), lambda: progress.add("c", 0.25)):
            go()
            shown.append(progress._bar.tasks[0].completed)
    assert shown == [0.5, 0.5, 0.75]


def test_where_nobody_watches_a_line_says_how_far_it_is(capsys, monkeypatch):
    with Progress("x") as progress:
        task = progress._bar.tasks[0]
        monkeypatch.setattr(type(task), "elapsed", 6.0)
        progress.to(0.25, "tiny")
        progress.to(0.5, "never said so soon")
    assert capsys.readouterr().err.splitlines()[0] == "25 % after 6 s, about 18 s left: tiny"
