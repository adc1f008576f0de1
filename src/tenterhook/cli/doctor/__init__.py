"""``tenterhook doctor``: whether this machine and this configuration are fit, and what to do where they are not."""

from __future__ import annotations

from tenterhook.cli.doctor.command import register

__all__ = ["register"]
