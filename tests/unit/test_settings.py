"""Settings come from the environment and a file, are checked, and hide what is secret."""

from __future__ import annotations

import pytest

from tenterhook import settings
from tenterhook.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    import os

    for name in list(os.environ):
        if name.startswith("TENTERHOOK_") or name == "DATABASE_URL":
            monkeypatch.delenv(name)


def test_every_setting_has_a_default_and_a_sentence() -> None:
    settings.load()
    for name, field in settings.Settings.model_fields.items():
        assert not field.is_required(), name
        assert field.description and field.description.endswith("."), name


def test_arguments_win_over_the_environment_and_it_over_the_file(tmp_path, monkeypatch) -> None:
    file = tmp_path / "tenterhook.toml"
    file.write_text('port = 1001\nhost = "127.0.0.3"\nworker_concurrency = 5\n')
    monkeypatch.setenv("TENTERHOOK_CONFIG_FILE", str(file))
    monkeypatch.setenv("TENTERHOOK_PORT", "1002")
    monkeypatch.setenv("TENTERHOOK_HOST", "127.0.0.2")
    loaded = settings.load(port=1003)
    assert (loaded.port, loaded.host, loaded.worker_concurrency) == (1003, "127.0.0.2", 5)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TENTERHOOK_PORT", "70000", "TENTERHOOK_PORT"),
        ("TENTERHOOK_PORT", "many", "TENTERHOOK_PORT"),
        ("TENTERHOOK_RUN_LEASE_SECONDS", "0", "TENTERHOOK_RUN_LEASE_SECONDS"),
        ("TENTERHOOK_WORKER_CONCURRENCY", "1", "TENTERHOOK_WORKER_CONCURRENCY"),
        ("DATABASE_URL", "mysql://root:sesame@db/x", "DATABASE_URL: .*postgresql://"),
        ("TENTERHOOK_PROT", "8080", "Unknown settings.*TENTERHOOK_PROT"),
        ("TENTERHOOK_CONFIG_FILE", "absent.toml", "absent.toml"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=said) as caught:
        settings.load()
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("content", ["port = [", "prot = 1\n"])
def test_a_wrong_file_is_refused(tmp_path, monkeypatch, content: str) -> None:
    file = tmp_path / "tenterhook.toml"
    file.write_text(content)
    monkeypatch.setenv("TENTERHOOK_CONFIG_FILE", str(file))
    with pytest.raises(ConfigurationError):
        settings.load()


def test_the_password_of_the_database_is_shown_nowhere(monkeypatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:sesame@db/x")
    loaded = settings.load()
    assert loaded.database_url is not None
    assert "sesame" not in repr(loaded)
    assert "sesame" not in str(loaded.model_dump())
