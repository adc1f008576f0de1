"""The assembler: every distance, every way out."""

from __future__ import annotations

import pytest

from tenterhook.sandbox.jail.bpf import Comparison, Program
from tests.unit.sandbox.jail.interpreter import run


def _switch(values: int, *, padding: int) -> bytes:
    """One comparison after another, each answer far below."""
    program = Program()
    program.load(0)
    for value in range(values):
        following = program.fresh("next")
        program.test(Comparison.EQUAL, value, then=f"answer {value}", otherwise=following)
        program.place(following)
    program.jump("none")
    for _ in range(padding):
        program.mask(0xFFFFFFFF)
    for value in range(values):
        program.place(f"answer {value}")
        program.answer(1000 + value)
    program.place("none")
    program.answer(0)
    return program.assemble()


@pytest.mark.parametrize("padding", [0, 1, 2, 250, 251, 252, 253, 254, 255, 256, 257, 258, 1000])
@pytest.mark.parametrize("values", [1, 3, 130])
def test_every_distance_is_reached(values, padding):
    program = _switch(values, padding=padding)
    for number in range(values + 2):
        expected = 1000 + number if number < values else 0
        assert run(program, arch=0, number=number) == expected


@pytest.mark.parametrize("padding", [0, 253, 254, 255, 256, 300])
@pytest.mark.parametrize("far", ["then", "otherwise", "both"])
def test_both_ways_out_reach_any_distance(padding, far):
    program = Program()
    program.load(0)
    near = program.fresh("near")
    program.test(
        Comparison.AT_LEAST,
        7,
        then="yes" if far != "otherwise" else near,
        otherwise="no" if far != "then" else near,
    )
    program.place(near)
    program.jump("yes" if far == "otherwise" else "no")
    for _ in range(padding):
        program.answer(99)
    program.place("yes")
    program.answer(1)
    program.place("no")
    program.answer(2)
    code = program.assemble()
    assert [run(code, arch=0, number=number) for number in (6, 7, 8)] == [2, 1, 1]


def test_bits_are_tested_one_by_one():
    program = Program()
    program.load(0)
    program.mask(0xF0)
    program.test(Comparison.ANY_BIT, 0x30, then="yes", otherwise="no")
    program.place("yes")
    program.answer(1)
    program.place("no")
    program.answer(2)
    code = program.assemble()
    assert [run(code, arch=0, number=number) for number in (0x10, 0x20, 0x40, 0x0F, 0x3F)] == [1, 1, 2, 2, 1]


def test_missing_and_backward_and_doubled_labels_are_errors():
    missing = Program()
    missing.jump("nowhere")
    with pytest.raises(ValueError, match="nowhere"):
        missing.assemble()
    backward = Program()
    backward.place("start")
    backward.answer(0)
    backward.jump("start")
    with pytest.raises(ValueError, match="backward"):
        backward.assemble()
    with pytest.raises(ValueError, match="twice"):
        backward.place("start")


def test_longest_program_is_the_kernels():
    program = Program()
    for _ in range(4096):
        program.answer(0)
    assert len(program.assemble()) == 8 * 4096
    program.answer(0)
    with pytest.raises(ValueError, match="longer"):
        program.assemble()
