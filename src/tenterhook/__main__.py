"""``python -m tenterhook`` is the ``tenterhook`` command."""

from tenterhook.cli import main

if __name__ == "__main__":
    main()
