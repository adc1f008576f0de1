"""Two seccomp filters, which every process of a hook installs in this order before it becomes Node.

    listener filter   connect(2) stops and waits for the supervisor's answer; all else passes
    strict filter     an allow-list with checked arguments (``rules.py``); connect(2) passes on to the other

They are two because the listener's descriptor must travel to the supervisor by sendmsg(2), which the strict one refuses.
Of several filters the kernel takes the strictest answer, so the order of installing does not weaken either.

A call's number is found by bisection over ranges of numbers with the same answer: nine comparisons for any call. Calls
that pass whatever their arguments cost nothing at all since Linux 5.11, which evaluates the filter for them beforehand.

Known limits. A filter cannot read memory, so nothing behind a pointer is judged here. ``open`` passes with any path:
where a process may go is the tree's and Landlock's matter. vsyscall time calls of x86_64 are emulated and harmless.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import struct
from collections.abc import Iterable

from tenterhook.sandbox.jail import libc, rules
from tenterhook.sandbox.jail.bpf import Comparison, Program
from tenterhook.sandbox.jail.rules import Rule
from tenterhook.sandbox.jail.syscalls import ARCHITECTURES, Architecture, current_architecture

# linux/seccomp.h
ALLOW = 0x7FFF0000
NOTIFY = 0x7FC00000
KILL_PROCESS = 0x80000000
ERROR = 0x00050000
"""Plus the errno."""
_SET_MODE_FILTER = 1
_NEW_LISTENER = 1 << 3
_WAIT_KILLABLE = 1 << 5

# struct seccomp_data: nr, arch, instruction pointer, six arguments of 64 bits, little-endian
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32_BIT = 0x40000000
_FILTER = struct.Struct("=HBBI")


def listener_filter(architecture: Architecture, *, without: Iterable[str] = ()) -> bytes:
    """Return the filter under which connect(2) asks the listener, and foreign calling conventions end the process."""
    return _listener_filter(
        architecture.name, frozenset(without), architecture.audit_arch, architecture.table["connect"]
    )


@functools.cache
def _listener_filter(name: str, without: frozenset[str], audit_arch: int, connect: int) -> bytes:
    program = Program()
    _refuse_foreign(program, name, audit_arch, without)
    program.test(Comparison.EQUAL, connect, then="notify", otherwise="allow")
    program.place("notify")
    program.answer(NOTIFY)
    _place_common(program)
    return program.assemble()


def strict_filter(
    architecture: Architecture, *, own_pid: int, gate_mode: bool, without: Iterable[str] = ()
) -> bytes:
    """Return the allow-list as a program.

    ``own_pid`` is the process's id as it sees itself: the only one that it may signal. ``gate_mode`` also refuses what
    only a tree of its own makes harmless. ``without`` holds names of ``Rule``: what they refuse is then permitted; it is
    there for tests. The costly part is kept per mode, so a zygote that asks once makes it free for its children.
    """
    known = frozenset(Rule(each) for each in without)
    template = _strict_template(architecture.name, gate_mode=gate_mode, without=known)
    return b"".join(
        _FILTER.pack(code, true, false, own_pid if constant == rules.OWN_PID else constant)
        for code, true, false, constant in _FILTER.iter_unpack(template)
    )


def reachable_syscalls(architecture: Architecture, *, gate_mode: bool) -> tuple[str, ...]:
    """Return the calls that pass with some arguments: how much of the kernel a hook can talk to."""
    return tuple(
        sorted(
            name
            for name in architecture.table
            if rule_of(name, gate_mode=gate_mode) is None or name in rules.CHECKED
        )
    )


def install(program: bytes, *, listener: bool) -> int:
    """Put the calling thread under a filter, for good, and return the listener's descriptor or 0.

    A listener's calls wait in a way that only a fatal signal breaks (Linux 5.19 on): otherwise each signal that arrives
    while the supervisor works would make it do the work again.

    Raises:
        OSError: EACCES without no_new_privs; EBUSY if there is a listener already.
    """
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // _FILTER.size, ctypes.addressof(instructions))
    number = current_architecture().table["seccomp"]
    if not listener:
        return libc.check(libc.syscall(number, _SET_MODE_FILTER, 0, header), "seccomp filter")
    result = libc.syscall(number, _SET_MODE_FILTER, _NEW_LISTENER | _WAIT_KILLABLE, header)
    if result < 0 and ctypes.get_errno() == errno.EINVAL:
        result = libc.syscall(number, _SET_MODE_FILTER, _NEW_LISTENER, header)
    return libc.check(result, "seccomp listener")


def rule_of(name: str, *, gate_mode: bool) -> Rule | None:
    """Return the rule that refuses this call, with some arguments or with all; None when it always passes."""
    if name in rules.PERMITTED:
        return None
    if name in rules.PERMITTED_UNLESS_GATE:
        return Rule.METADATA if gate_mode else None
    if name in rules.CHECKED:
        return rules.CHECKED[name].rule
    return next((rule for rule, names in rules.REFUSED.items() if name in names), Rule.OTHER)


@functools.cache
def _strict_template(name: str, *, gate_mode: bool, without: frozenset[Rule]) -> bytes:
    architecture = ARCHITECTURES[name]
    program = Program()
    _refuse_foreign(program, name, architecture.audit_arch, frozenset(str(rule) for rule in without))
    answers = {
        number: _answer_to(call, gate_mode=gate_mode, without=without)
        for call, number in architecture.table.items()
    }
    unknown = "allow" if Rule.UNKNOWN in without else _error_label(rules.ERROR_OF_RULE[Rule.UNKNOWN])
    starts, labels = _ranges(answers, unknown)
    _bisect(program, starts, labels)
    for call in sorted(each for each in rules.CHECKED if _checks_label(each) in labels):
        program.place(_checks_label(call))
        _check(program, rules.CHECKED[call], refuse=_error_label(_error_of(call, rules.CHECKED[call].rule)))
    for error in sorted({errno.EPERM, *rules.ERROR_OF_RULE.values(), *rules.ERROR_OF_CALL.values()}):
        program.place(_error_label(error))
        program.answer(ERROR | error)
    _place_common(program)
    return program.assemble()


def _answer_to(call: str, *, gate_mode: bool, without: frozenset[Rule]) -> str:
    """Return the label where a call's answer is: allow, an error, or the checks of its arguments."""
    rule = rule_of(call, gate_mode=gate_mode)
    if rule is None or rule in without:
        return "allow"
    return _checks_label(call) if call in rules.CHECKED else _error_label(_error_of(call, rule))


def _error_of(call: str, rule: Rule) -> int:
    return rules.ERROR_OF_CALL.get(call, rules.ERROR_OF_RULE.get(rule, errno.EPERM))


def _checks_label(call: str) -> str:
    return f"checks of {call}"


def _error_label(error: int) -> str:
    return f"error {error}"


def _ranges(answers: dict[int, str], unknown: str) -> tuple[list[int], list[str]]:
    """Return where each range of equal answers begins, from 0 on, and its answer."""
    starts, labels = [0], [answers.get(0, unknown)]
    for number in range(1, max(answers) + 2):
        label = answers.get(number, unknown)
        if label != labels[-1]:
            starts.append(number)
            labels.append(label)
    return starts, labels


def _bisect(program: Program, starts: list[int], labels: list[str]) -> None:
    """Jump to the label of the range in which the accumulator lies."""

    def between(low: int, high: int) -> None:
        if low == high:
            program.jump(labels[low])
            return
        middle = (low + high + 1) // 2
        above, below = program.fresh("above"), program.fresh("below")
        program.test(Comparison.AT_LEAST, starts[middle], then=above, otherwise=below)
        program.place(below)
        between(low, middle - 1)
        program.place(above)
        between(middle, high)

    between(0, len(starts) - 1)


def _check(program: Program, permission: rules.Permission, *, refuse: str) -> None:
    for alternative in permission.any_of:
        failed = program.fresh("failed")
        for check in alternative:
            passed = program.fresh("passed")
            if isinstance(check, rules.Null):
                half = program.fresh("half")
                program.load(_ARGUMENTS + 8 * check.argument)
                program.test(Comparison.EQUAL, 0, then=half, otherwise=failed)
                program.place(half)
                program.load(_ARGUMENTS + 8 * check.argument + 4)
                program.test(Comparison.EQUAL, 0, then=passed, otherwise=failed)
            else:
                program.load(_ARGUMENTS + 8 * check.argument)
                if check.mask != 0xFFFFFFFF:
                    program.mask(check.mask)
                for value in check.one_of:
                    other = program.fresh("other")
                    program.test(Comparison.EQUAL, value, then=passed, otherwise=other)
                    program.place(other)
                program.jump(failed)
            program.place(passed)
        program.jump("allow")
        program.place(failed)
    program.jump(refuse)


def _refuse_foreign(program: Program, name: str, audit_arch: int, without: frozenset[str]) -> None:
    """End the process on a foreign calling convention; leave the call's number in the accumulator."""
    foreign = "allow" if Rule.FOREIGN_ARCHITECTURE in without else "kill"
    program.load(_ARCHITECTURE)
    program.test(Comparison.EQUAL, audit_arch, then="native", otherwise=foreign)
    program.place("native")
    program.load(_NUMBER)
    if name == "x86_64":
        x32 = "allow" if Rule.X32 in without else "kill"
        program.test(Comparison.AT_LEAST, _X32_BIT, then=x32, otherwise="own numbers")
        program.place("own numbers")


def _place_common(program: Program) -> None:
    program.place("allow")
    program.answer(ALLOW)
    program.place("kill")
    program.answer(KILL_PROCESS)
