"""The ``tenterhook`` command. Each group of commands has its module; ``program.py`` lists them."""

from tenterhook.cli.program import main

__all__ = ["main"]
