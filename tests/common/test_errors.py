"""The command that a message names where an extra is missing."""

import json

import pytest
from trigru.common.errors import install_command

CLONE = "file:///home/me/my%20clone"


@pytest.mark.parametrize(
    ("record", "command"),
    [
        (
            {"url": CLONE, "dir_info": {}},
            'pip install "trigru[bench] @ file:///home/me/my%20clone"',
        ),
        (
            {"url": CLONE, "dir_info": {"editable": True}},
            'pip install --editable "/home/me/my clone[bench]"',
        ),
        (
            {"url": "file:///home/me/trigru-0.1.0-py3-none-any.whl"},
            'pip install "trigru[bench] @ file:///home/me/trigru-0.1.0-py3-none-any.whl"',
        ),
        (
            {
                "url": "https://host/me/trigru",
                "vcs_info": {"vcs": "git", "commit_id": "0a1b"},
            },
            'pip install "trigru[bench] @ git+https://host/me/trigru@0a1b"',
        ),
    ],
)
def test_an_extra_is_installed_from_where_trigru_was_installed(record, command):
    assert install_command("bench", json.dumps(record)) == command


def test_where_nobody_recorded_the_source_a_clone_is_named():
    command = install_command("bench", None)
    assert command == 'pip install ".[bench]" (in a clone of trigru)'
