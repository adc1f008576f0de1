"""What ``tenterhook start`` adds for a laptop: a local CA, a stand-in for Slack, a demo hook, and runs printed live."""

from tenterhook.cli.development.demo import run_demo

__all__ = ["run_demo"]
