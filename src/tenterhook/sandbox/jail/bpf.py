"""An assembler for the kernel's classic packet filter, as far as seccomp needs it.

A program is a list of instructions that jump only forward; a conditional jump reaches 255 instructions, an
unconditional one any distance. Counting such distances by hand is how filters come to allow what they should refuse, so
code here names labels and never counts: a condition whose target is too far away gets an unconditional jump put behind
it, and ``assemble`` repeats until every distance fits.

Both ways out of a condition are named. What comes next in the text is never meant by chance.
"""

from __future__ import annotations

import dataclasses
import enum
import struct

_INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter: code, jump if true, jump if false, constant
_NEAR = 255
_MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS of linux/bpf_common.h

_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP = 0x05  # BPF_JMP | BPF_JA
_RETURN = 0x06  # BPF_RET | BPF_K


class Comparison(enum.IntEnum):
    """How the accumulator is compared with a constant; unsigned."""

    EQUAL = 0x15
    """It is the constant."""
    AT_LEAST = 0x35
    """It is the constant or more."""
    ANY_BIT = 0x45
    """It has at least one of the constant's bits."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Plain:
    code: int
    constant: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Jump:
    to: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Condition:
    comparison: Comparison
    constant: int
    then: str
    otherwise: str


_Item = _Plain | _Jump | _Condition


class Program:
    """A program under construction. Labels are names; each is placed once and may be jumped to before."""

    def __init__(self) -> None:
        self._items: list[_Item] = []
        self._labels: dict[str, int] = {}
        self._fresh = 0

    def load(self, offset: int) -> None:
        """Load the 32-bit word at this byte of ``struct seccomp_data`` into the accumulator."""
        self._items.append(_Plain(code=_LOAD_WORD, constant=offset))

    def mask(self, bits: int) -> None:
        """Keep only these bits of the accumulator."""
        self._items.append(_Plain(code=_AND, constant=bits))

    def answer(self, value: int) -> None:
        """End the program with this ``SECCOMP_RET_*`` value."""
        self._items.append(_Plain(code=_RETURN, constant=value))

    def jump(self, to: str) -> None:
        """Go on at a label further down."""
        self._items.append(_Jump(to=to))

    def test(self, comparison: Comparison, constant: int, *, then: str, otherwise: str) -> None:
        """Compare the accumulator, and go on at one label or the other."""
        self._items.append(
            _Condition(comparison=comparison, constant=constant, then=then, otherwise=otherwise)
        )

    def place(self, label: str) -> None:
        """Let a label mean the next instruction."""
        if label in self._labels:
            raise ValueError(f"The label {label} is placed twice.")
        self._labels[label] = len(self._items)

    def fresh(self, stem: str) -> str:
        """Return a label that nobody else has."""
        self._fresh += 1
        return f"{stem}#{self._fresh}"

    def assemble(self) -> bytes:
        """Return the program as the kernel takes it: an array of ``struct sock_filter``.

        Raises:
            ValueError: a label is missing or lies behind its jump, or the program is too long for the kernel.
        """
        far: dict[int, tuple[bool, bool]] = {}
        while True:
            starts = self._starts(far)
            grown = {index: self._far(index, starts, far) for index in range(len(self._items))}
            grown = {index: value for index, value in grown.items() if any(value)}
            if grown == far:
                break
            far = grown
        code = b"".join(self._encode(index, starts, far) for index in range(len(self._items)))
        if len(code) // _INSTRUCTION.size > _MOST_INSTRUCTIONS:
            raise ValueError("The filter is longer than the kernel takes.")
        return code

    def _starts(self, far: dict[int, tuple[bool, bool]]) -> list[int]:
        """Return where each item begins, and the end, when these conditions have far targets."""
        starts, position = [], 0
        for index in range(len(self._items)):
            starts.append(position)
            position += 1 + sum(far.get(index, (False, False)))
        return [*starts, position]

    def _distance(self, index: int, label: str, starts: list[int], *, behind: int) -> int:
        """Return how many instructions a jump skips; ``behind`` is its own place within its item, plus one."""
        if label not in self._labels:
            raise ValueError(f"The label {label} is nowhere placed.")
        distance = starts[self._labels[label]] - (starts[index] + behind)
        if distance < 0:
            raise ValueError(f"The jump to {label} goes backward.")
        return distance

    def _far(self, index: int, starts: list[int], far: dict[int, tuple[bool, bool]]) -> tuple[bool, bool]:
        """Tell which ways out of an item do not fit into a byte; one that did not fit before stays so."""
        item = self._items[index]
        if not isinstance(item, _Condition):
            return (False, False)
        before = far.get(index, (False, False))
        return (
            before[0] or self._distance(index, item.then, starts, behind=1) > _NEAR,
            before[1] or self._distance(index, item.otherwise, starts, behind=1) > _NEAR,
        )

    def _encode(self, index: int, starts: list[int], far: dict[int, tuple[bool, bool]]) -> bytes:
        item = self._items[index]
        if isinstance(item, _Plain):
            return _INSTRUCTION.pack(item.code, 0, 0, item.constant)
        if isinstance(item, _Jump):
            return _INSTRUCTION.pack(_JUMP, 0, 0, self._distance(index, item.to, starts, behind=1))
        targets, trampolines = [], b""
        for label, is_far in zip((item.then, item.otherwise), far.get(index, (False, False)), strict=True):
            if is_far:
                targets.append(len(trampolines) // _INSTRUCTION.size)
                behind = 2 + targets[-1]
                trampolines += _INSTRUCTION.pack(
                    _JUMP, 0, 0, self._distance(index, label, starts, behind=behind)
                )
            else:
                targets.append(self._distance(index, label, starts, behind=1))
        return _INSTRUCTION.pack(item.comparison, *targets, item.constant) + trampolines
