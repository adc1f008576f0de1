"""The connect gate: every connection of a sandboxed process is judged and made by us, and so is every DNS answer."""

from __future__ import annotations

from tenterhook.sandbox.gate.connections import Connection, RefusedName, Report
from tenterhook.sandbox.gate.gate import Gate
from tenterhook.sandbox.gate.name_server import NameServer
from tenterhook.sandbox.gate.resolver import Resolver

__all__ = ["Connection", "Gate", "NameServer", "RefusedName", "Report", "Resolver"]
