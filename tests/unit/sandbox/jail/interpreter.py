"""Runs a seccomp filter as the kernel would, on a call that nobody makes."""

from __future__ import annotations

import struct

_MASK = 0xFFFFFFFF


def run(program: bytes, *, arch: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """Return the filter's answer. Arguments are of 64 bits; negative ones are as a C long."""
    values = [argument & 0xFFFFFFFFFFFFFFFF for argument in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
    data = struct.pack("<IIQ6Q", number & _MASK, arch, 0, *values)
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator, place = 0, 0
    while True:
        code, true, false, constant = instructions[place]
        place += 1
        if code == 0x20:
            assert constant % 4 == 0 and constant < 64
            (accumulator,) = struct.unpack_from("<I", data, constant)
        elif code == 0x54:
            accumulator &= constant
        elif code == 0x05:
            place += constant
        elif code == 0x06:
            return constant
        else:
            holds = {
                0x15: accumulator == constant,
                0x35: accumulator >= constant,
                0x45: bool(accumulator & constant),
            }[code]
            place += true if holds else false
