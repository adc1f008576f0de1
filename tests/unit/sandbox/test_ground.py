"""What jails stand on is looked at before the first hook, and what is missing is said with its remedy."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tenterhook.errors import ConfigurationError
from tenterhook.sandbox.ground import find_ground
from tenterhook.sandbox.jail.plan import Ground, Mode
from tenterhook.sandbox.jail.protections import NONE_REMOVED, Protection
from tenterhook.sandbox.node_binary import NodeBinary


def ground_of(node: Path, mode: Mode, *, ca_file: Path | None = None, removed=NONE_REMOVED) -> Ground:
    return find_ground(
        NodeBinary(path=node, version="0"),
        mode,
        module_dirs=(),
        ca_file=ca_file,
        cgroups=False,
        removed=removed,
    )


@pytest.fixture
def as_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture
def node(tmp_path) -> Path:
    """A program in a home that is closed to others."""
    home = tmp_path / "home"
    home.mkdir()
    node = home / "node"
    shutil.copy("/bin/true", node)
    node.chmod(0o755)
    home.chmod(0o700)
    return node


@pytest.mark.parametrize("mode", Mode)
def test_certificates_that_cannot_be_read_are_refused(node, mode):
    with pytest.raises(ConfigurationError, match=r"TENTERHOOK_EXTRA_CA_FILE: .*absent\.pem cannot be read"):
        ground_of(node, mode, ca_file=node.with_name("absent.pem"))


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize(
    ("mode", "removed"),
    [
        (Mode.GATE, NONE_REMOVED),
        (Mode.NONE, NONE_REMOVED),
        (Mode.NAMESPACES, frozenset({Protection.MOUNT_NAMESPACE})),
    ],
)
def test_a_closed_home_is_refused_where_hooks_have_no_tree_and_another_uid(node, mode, removed, monkeypatch):
    monkeypatch.setattr("tenterhook.sandbox.ground.RUNTIME_DIR", Path("/"))
    for folder in node.parent.parents:  # those of pytest are closed too
        if folder.stat().st_mode & 0o001:
            continue
        folder.chmod(0o711)
    with pytest.raises(ConfigurationError, match=f"chmod o\\+x {node.parent}"):
        ground_of(node, mode, removed=removed)
    node.parent.chmod(0o711)
    assert ground_of(node, mode, removed=removed).node == str(node)
    certificates = node.with_name("ca.pem")
    certificates.write_text("certificates")
    certificates.chmod(0o600)
    with pytest.raises(ConfigurationError, match=f"chmod 644 {certificates}"):
        ground_of(node, mode, removed=removed, ca_file=certificates)


@pytest.mark.usefixtures("as_root")
def test_a_closed_home_is_fine_with_a_tree_and_a_closed_program_is_not(node):
    assert ground_of(node, Mode.NAMESPACES).own_uids
    node.chmod(0o700)
    with pytest.raises(ConfigurationError, match=f"chmod 755 {node}"):
        ground_of(node, Mode.NAMESPACES)


def test_a_closed_home_is_fine_where_the_uid_stays(node, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert not ground_of(node, Mode.GATE).own_uids
