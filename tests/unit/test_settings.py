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
        ("DATABASE_URL", "postgresql://me:sesame@db:port/x", "DATABASE_URL: .*host and port"),
        ("TENTERHOOK_MAX_THREADS_PER_PROCESS", "23", "TENTERHOOK_MAX_THREADS_PER_PROCESS"),
        ("TENTERHOOK_MAX_OPEN_FILES", "63", "TENTERHOOK_MAX_OPEN_FILES"),
        ("TENTERHOOK_CPU_PERCENT", "4", "TENTERHOOK_CPU_PERCENT"),
        ("TENTERHOOK_EGRESS_ALLOW", "10.0.0.1 nonsense", "TENTERHOOK_EGRESS_ALLOW: '10.0.0.1': the port is"),
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


@pytest.mark.parametrize(("default", "maximum"), settings.MAXIMUM_OF.items())
def test_a_default_may_reach_its_maximum_and_not_go_beyond(monkeypatch, default: str, maximum: str) -> None:
    most = getattr(settings.load(), maximum)
    variable = settings.environment_name(default)
    monkeypatch.setenv(variable, str(most))
    assert getattr(settings.load(), default) == most
    monkeypatch.setenv(variable, str(most + 1))
    with pytest.raises(ConfigurationError, match=f"{variable}.*{settings.environment_name(maximum)}"):
        settings.load()
    monkeypatch.setenv(settings.environment_name(maximum), str(most + 1))
    assert getattr(settings.load(), default) == most + 1


def test_the_first_wait_after_a_crash_is_not_above_the_longest(monkeypatch) -> None:
    monkeypatch.setenv("TENTERHOOK_CRASH_BACKOFF_FIRST_SECONDS", "61")
    with pytest.raises(ConfigurationError, match="TENTERHOOK_CRASH_BACKOFF_MAXIMUM_SECONDS"):
        settings.load()


@pytest.mark.parametrize(
    ("url", "endpoints"),
    [
        ("postgresql://me:sesame@127.0.0.1:5433/x", [("127.0.0.1", 5433)]),
        ("postgres://me:p%40ss@db.example.com/x", [("db.example.com", 5432)]),
        ("postgresql://me@[::1]:99,other:7,third/x", [("::1", 99), ("other", 7), ("third", 5432)]),
        ("postgresql:///x?host=one:1&host=two", [("one", 1), ("two", 5432)]),
        ("postgresql:///x?host=one&port=7", [("one", 7)]),
        ("postgresql:///x", [("127.0.0.1", 5432)]),
        ("postgresql:///x?host=/run/postgresql", []),
        ("postgresql://me@%2Frun%2Fpostgresql/x", []),
    ],
)
def test_where_the_database_is(url: str, endpoints: list[tuple[str, int]]) -> None:
    assert list(settings.load(database_url=url).database_endpoints) == endpoints


def test_the_embedded_database_is_nowhere_in_the_network() -> None:
    assert settings.load().database_endpoints == ()
