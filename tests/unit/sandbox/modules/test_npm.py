"""What npm may know, and what its failures mean."""

from __future__ import annotations

import pytest

from tenterhook.sandbox.modules import (
    BrokenModuleError,
    ForeignModuleError,
    MissingModuleError,
    MissingVersionError,
    NpmFailedError,
    RegistryUnreachableError,
)
from tenterhook.sandbox.modules.npm import NODE, NpmFailure, npm_environment, translate


def test_npm_sees_its_configuration_and_no_secret_of_ours():
    passed = {
        "HOME": "/home/x", "npm_config_registry": "r", "NPM_CONFIG_CAFILE": "c", "https_proxy": "p", "NO_PROXY": "n",
        "NODE_EXTRA_CA_CERTS": "e", "NPM_TOKEN": "t",
    }  # fmt: skip
    hidden = {
        "DATABASE_URL": "s", "TENTERHOOK_SECRETS_KEY_FILE": "s", "AWS_SECRET_ACCESS_KEY": "s", "NODE_OPTIONS": "s",
        "LD_PRELOAD": "s", "npm_package_name": "s", "HOMEX": "s",
    }  # fmt: skip
    found = npm_environment({**passed, **hidden, "PATH": "/elsewhere"})
    assert found.pop("PATH").split(":")[0] == str(NODE.parent)
    assert found == passed


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("E404", MissingModuleError),
        ("ETARGET", MissingVersionError),
        ("ENOVERSIONS", MissingVersionError),
        ("ENOTFOUND", RegistryUnreachableError),
        ("ECONNREFUSED", RegistryUnreachableError),
        ("ENOTCACHED", RegistryUnreachableError),
        ("E503", RegistryUnreachableError),
        ("E401", RegistryUnreachableError),
        ("SELF_SIGNED_CERT_IN_CHAIN", RegistryUnreachableError),
        ("EALLOWGIT", ForeignModuleError),
        ("EINTEGRITY", BrokenModuleError),
        ("TAR_BAD_ARCHIVE", BrokenModuleError),
        ("Z_BUF_ERROR", BrokenModuleError),
        ("ERESOLVE", NpmFailedError),
        ("unknown", NpmFailedError),
    ],
)
def test_every_code_becomes_an_error_that_says_what_was_done(code, expected):
    error = translate(NpmFailure(code=code, summary="summary"), "installing lodash")
    assert type(error) is expected
    assert "While installing lodash: npm says" in error.message
    assert error.details["npm_code"] == code
