"""Tenterhook: a self-hosted home for Auth0 Hooks. The tree's map is in docs/explanation/architecture.md."""

__version__ = "0.1.0"
