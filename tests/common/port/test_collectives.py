"""What devices exchange, read from small programs."""

import pytest
from trigru.common.port.collectives import Collective, collectives_of

LOOP = """
%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%inner (x: f32[4,2]) -> f32[4,2] {
  %x = f32[4,2]{1,0} parameter(0)
  ROOT %sum.1 = f32[4,2]{1,0} all-reduce(%x), replica_groups={{0,1}}, to_apply=%add
}

%body (state: (s32[], f32[4,2])) -> (s32[], f32[4,2]) {
  %state = (s32[], f32[4,2]) parameter(0)
  %part = f32[4,2]{1,0} get-tuple-element(%state), index=1
  %called = f32[4,2]{1,0} call(%part), to_apply=%inner
  ROOT %out = (s32[], f32[4,2]) tuple(%part, %called)
}

%condition (state: (s32[], f32[4,2])) -> pred[] {
  %state = (s32[], f32[4,2]) parameter(0)
  ROOT %on = pred[] constant(true)
}

ENTRY %main (x: f32[4,2], y: bf16[3]) -> f32[4,2] {
  %x = f32[4,2]{1,0} parameter(0)
  %y = bf16[3]{0} parameter(1)
  %both = (f32[4,2]{1,0}, bf16[3]{0}) all-reduce(%x, %y), replica_groups={}, to_apply=%add
  %start = (s32[], f32[4,2]) tuple(%x, %x)
  %loop = (s32[], f32[4,2]) while(%start), condition=%condition, body=%body TRIPS
  ROOT %whole = f32[8,2]{1,0} all-gather(%x), dimensions={0}
}
"""


@pytest.mark.parametrize(
    ("trips", "runs"), [(', backend_config={"known_trip_count":{"n":"7"},"x":1}', 7), ("", None)], ids=["known", "not"]
)
def test_those_in_a_loop_run_as_often_as_the_loop(trips, runs):
    assert collectives_of(LOOP.replace(" TRIPS", trips)) == [
        Collective("all-reduce", 38, 1, in_loop=False),
        Collective("all-reduce", 32, runs, in_loop=True),
        Collective("all-gather", 64, 1, in_loop=False),
    ]


def test_what_begins_and_ends_apart_counts_once():
    text = """
ENTRY %main (x: f32[2]) -> f32[2] {
  %x = f32[2]{0} parameter(0)
  %begun = f32[2]{0} all-reduce-start(%x), to_apply=%add
  ROOT %done = f32[2]{0} all-reduce-done(%begun)
}
"""
    assert collectives_of(text) == [Collective("all-reduce", 8, 1, in_loop=False)]


@pytest.mark.parametrize(
    ("shape", "operation"),
    [
        ("(f32[2]{0}, f32[8]{0})", "all-gather-start(%x), dimensions={0}"),
        ("(f32[8]{0}, f32[8]{0}, u32[], u32[])", "collective-permute-start(%x), source_target_pairs={{0,1}}"),
        ("f32[8]{0}", "ragged-all-to-all(%x, %x, %x, %x, %x, %x)"),
    ],
)
def test_bytes_are_those_of_what_comes_out(shape, operation):
    text = f"ENTRY %main (x: f32[2]) -> f32[8] {{\n  %begun = {shape} {operation}\n}}\n"
    assert [c.nbytes for c in collectives_of(text)] == [32]


def test_those_in_a_branch_are_found():
    branch = "%yes (x: f32[2]) -> f32[2] {\n  ROOT %sum = f32[2]{0} all-reduce(%x), to_apply=%add\n}\n"
    called = "  ROOT %c = f32[2]{0} conditional(%p, %x, %x), true_computation=%yes, false_computation=%no\n"
    text = f"{branch}\nENTRY %main (x: f32[2]) -> f32[2] {{\n{called}}}\n"
    assert collectives_of(text) == [Collective("all-reduce", 8, 1, in_loop=False)]
