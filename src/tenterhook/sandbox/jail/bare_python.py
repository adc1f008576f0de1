"""A Python with none of the product but the modules it is started for.

Whoever tries the jail's layers, and the supervisor, are programs of this package. They are to hold as little as they can
and to start at once, so the packages' own ``__init__``, which import the whole product, are left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[2]
_PROGRAM = """
import sys, types
sys.path[:] = {path!r}
for name, folder in (("tenterhook", {package!r}), ("tenterhook.sandbox", {sandbox!r})):
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = [folder]
from {package_name} import {module_name}
{module_name}.{call}
"""


def argv(module: str, call: str) -> list[str]:
    """Return the command that imports a module, such as ``tenterhook.sandbox.jail.trying``, and makes a call of it.

    The call is Python, such as ``main()`` or ``main(3)``. Neither environment nor working folder is looked at.
    """
    package_name, _, module_name = module.rpartition(".")
    program = _PROGRAM.format(
        path=sys.path,
        package=str(_PACKAGE),
        sandbox=str(_PACKAGE / "sandbox"),
        package_name=package_name,
        module_name=module_name,
        call=call,
    )
    return [sys.executable, "-I", "-S", "-c", program]
