"""Numbers and sizes of linux/seccomp.h, put together as asm-generic/ioctl.h does."""

from __future__ import annotations

import pytest

from tenterhook.sandbox.gate import notifications


def _ioctl(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | ord("!") << 8 | number


@pytest.mark.parametrize(
    ("name", "direction", "number", "structure"),
    [
        ("RECEIVE", 3, 0, notifications._NOTIFICATION),
        ("SEND", 3, 1, notifications._RESPONSE),
        ("ID_VALID", 1, 2, notifications._ID),
        ("ADDFD", 1, 3, notifications._DESCRIPTOR),
        ("SET_FLAGS", 1, 4, notifications._ID),
    ],
)
def test_ioctl_numbers(name, direction, number, structure):
    assert getattr(notifications, name) == _ioctl(direction, number, structure.size)


def test_kernel_has_structures_of_this_size_or_larger():
    assert notifications._kernel_size() >= notifications._NOTIFICATION.size == 80


def test_nothing_in_the_gate_lets_a_call_continue():
    """The flag has no name here; an answer is built in one place, and its flags are 0."""
    assert notifications._RESPONSE.unpack(notifications._RESPONSE.pack(1, 0, -13, 0))[3] == 0
    source = notifications.__file__
    with open(source) as file:
        text = file.read()
    assert text.count("_RESPONSE.pack(") == 1
    assert "_RESPONSE.pack(notification.id, 0, -error, 0)" in text
