"""What ``tenterhook start`` adds for a laptop: a local CA, a stand-in for Slack, a demo hook, and runs printed live."""

from tenterhook.cli.development.certificates import LocalCertificates, ensure_certificates, trust_bundle
from tenterhook.cli.development.demo_hook import DemoHook, ensure_demo_hook, sign_up_line
from tenterhook.cli.development.run_printer import RunPrinter, WatchedSignal
from tenterhook.cli.development.slack_catcher import SlackCatcher, SlackMessage
from tenterhook.cli.development.state import CatcherState, bind_catcher

__all__ = [
    "CatcherState",
    "DemoHook",
    "LocalCertificates",
    "RunPrinter",
    "SlackCatcher",
    "SlackMessage",
    "WatchedSignal",
    "bind_catcher",
    "ensure_certificates",
    "ensure_demo_hook",
    "sign_up_line",
    "trust_bundle",
]
