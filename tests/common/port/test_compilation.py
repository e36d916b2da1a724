"""Programs that are kept: those used last stay, and others' files are left alone."""

import os

import pytest
from trigru.common.port import compilation
from trigru.common.port.compilation import programs_kept_in


@pytest.fixture
def folder(tmp_path):
    """Ten programs of 100 bytes, the first used longest ago."""
    for number in range(10):
        entry = tmp_path / f"jit_f-{number}-cache"
        entry.write_bytes(b"x" * 100)
        os.utime(entry, (1000 + number, 1000))
    return tmp_path


@pytest.mark.parametrize(("most", "left"), [(1000, range(10)), (999, [0, *range(4, 10)]), (300, [0, 9]), (1, [])])
def test_a_folder_that_is_too_large_loses_what_was_used_longest_ago(folder, monkeypatch, most, left):
    monkeypatch.setattr(compilation, "CACHE_BYTES", most)
    os.utime(folder / "jit_f-0-cache", (5000, 1000))  # read lately
    with programs_kept_in(folder):
        pass
    assert sorted(int(path.name.split("-")[1]) for path in folder.glob("*-cache")) == list(left)


def test_an_empty_program_goes_and_one_that_another_process_removed_costs_nothing(folder):
    (folder / "jit_f-0-cache").write_bytes(b"")
    (folder / "jit_gone-cache").symlink_to(folder / "nowhere")  # as one that is removed after it was listed
    with programs_kept_in(folder):
        assert not (folder / "jit_f-0-cache").exists()
