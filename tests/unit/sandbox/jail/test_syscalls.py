"""The committed numbers are the kernel's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import ziglang

from tenterhook.sandbox.jail import syscalls

_HEADERS = Path(ziglang.__file__).parent / "lib" / "libc" / "include"
_HEADER_OF = {
    "x86_64": _HEADERS / "x86-linux-any" / "asm" / "unistd_64.h",
    "aarch64": _HEADERS / "aarch64-linux-any" / "asm" / "unistd_64.h",
}


@pytest.mark.parametrize("name", sorted(syscalls.ARCHITECTURES))
def test_table_equals_the_kernels_header(name):
    header = _HEADER_OF[name].read_text()
    expected = {
        call: int(number)
        for call, number in re.findall(r"^#define __NR_(\w+)\s+(\d+)$", header, re.MULTILINE)
    }
    assert len(expected) > 300
    assert dict(syscalls.ARCHITECTURES[name].table) == expected


def test_no_number_has_two_names():
    for architecture in syscalls.ARCHITECTURES.values():
        assert len(set(architecture.table.values())) == len(architecture.table)


def test_audit_values_equal_the_kernels_headers():
    audit = (_HEADERS / "any-linux-any" / "linux" / "audit.h").read_text()
    elf = (_HEADERS / "any-linux-any" / "linux" / "elf-em.h").read_text()
    flags = 0x80000000 | 0x40000000  # 64 bits, little-endian
    assert re.search(r"__AUDIT_ARCH_64BIT\s+0x80000000", audit)
    assert re.search(r"__AUDIT_ARCH_LE\s+0x40000000", audit)
    for name, machine in (("x86_64", "EM_X86_64"), ("aarch64", "EM_AARCH64")):
        found = re.search(rf"#define {machine}\s+(\d+)", elf)
        assert found
        assert syscalls.ARCHITECTURES[name].audit_arch == flags | int(found.group(1))


def test_this_machine_is_known():
    assert syscalls.current_architecture().table["openat"] > 0
