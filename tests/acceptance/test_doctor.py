"""The doctor as operators call it: before init, beside a server, in CI."""

from __future__ import annotations

import json

from tests.program import Program, environment, tenterhook


def test_before_init_it_looks_and_leaves_nothing(tmp_path):
    data = tmp_path / "data"
    done = tenterhook("doctor", "--json", env=environment(TENTERHOOK_DATA_DIR=str(data)))
    report = json.loads(done.stdout)
    assert done.returncode == (1 if report["verdict"] == "problem" else 0)
    names = {(finding["area"], finding["name"]) for finding in report["findings"]}
    assert {
        ("sandbox", "tier"),
        ("node", "age"),
        ("node", "npm"),
        ("database", "embedded"),
        ("data", "folder"),
        ("data", "secrets key"),
        ("settings", "egress"),
        ("machine", "disk"),
        ("machine", "open files"),
        ("machine", "clock"),
    } <= names
    assert report["sandbox"]["layers"]
    (hook,) = [finding for finding in report["findings"] if finding["name"] == "hook"]
    assert hook["weight"] == "ok"
    assert hook["detail"].startswith("ran in ")
    assert not data.exists()


def test_beside_a_server_it_asks_the_database_and_tells_no_secret(tmp_path):
    program = Program(tmp_path)
    try:
        program.init()
        program.serve()
        shown = program.command("doctor", check=False).stdout
        report = json.loads(program.command("doctor", "--json", check=False).stdout)
        found = {finding["name"]: finding for finding in report["findings"] if finding["area"] == "database"}
        assert found["embedded"]["weight"] == found["tables"]["weight"] == found["clock"]["weight"] == "ok"
        key = (program.data / "secrets.key").read_text().strip()
        passwords = [program.initialized["management"]["client_secret"], key]
        for text in (shown, json.dumps(report)):
            assert not [secret for secret in passwords if secret in text]
        assert "postgresql://" not in shown
    finally:
        program.close()


def test_settings_that_cannot_be_used_are_a_problem_among_the_rest(tmp_path):
    done = tenterhook(
        "doctor", "--json", env=environment(TENTERHOOK_DATA_DIR=str(tmp_path), TENTERHOOK_PORTT="1")
    )
    report = json.loads(done.stdout)
    assert done.returncode == 1
    problems = [finding for finding in report["findings"] if finding["weight"] == "problem"]
    assert "TENTERHOOK_PORTT" in problems[0]["detail"]
    assert any(finding["area"] == "node" for finding in report["findings"])


def test_grants_that_cannot_be_read_are_a_problem(tmp_path):
    variables = {"TENTERHOOK_DATA_DIR": str(tmp_path), "TENTERHOOK_EGRESS_ALLOW": "10.0.0.1 nonsense"}
    report = json.loads(tenterhook("doctor", "--json", env=environment(**variables)).stdout)
    (settings,) = [finding for finding in report["findings"] if finding["area"] == "settings"]
    assert settings["weight"] == "problem"
    assert "TENTERHOOK_EGRESS_ALLOW: '10.0.0.1': the port is missing" in settings["detail"]


def test_a_hook_that_cannot_start_is_seen_although_every_layer_holds(tmp_path):
    absent = str(tmp_path / "absent.pem")
    done = tenterhook(
        "doctor",
        "--json",
        env=environment(TENTERHOOK_DATA_DIR=str(tmp_path), TENTERHOOK_EXTRA_CA_FILE=absent),
    )
    report = json.loads(done.stdout)
    (hook,) = [finding for finding in report["findings"] if finding["name"] == "hook"]
    assert done.returncode == 1
    assert report["sandbox"]["tier"] > 0
    assert hook["weight"] == "problem"
    assert absent in hook["detail"]


def test_a_database_that_is_not_there_is_a_problem_and_its_password_stays_secret(tmp_path):
    url = "postgresql://somebody:secret-word@127.0.0.1:1/nowhere"
    done = tenterhook("doctor", env=environment(TENTERHOOK_DATA_DIR=str(tmp_path), DATABASE_URL=url))
    assert done.returncode == 1
    assert "cannot be reached" in done.stdout
    assert "secret-word" not in done.stdout + done.stderr


def test_unsafe_settings_are_loud(tmp_path):
    name = "TENTERHOOK_UNSAFE_PLAIN_PASSWORD_TO_PRE_USER_REGISTRATION"
    done = tenterhook("doctor", env=environment(TENTERHOOK_DATA_DIR=str(tmp_path), **{name: "true"}))
    assert name in done.stdout
    assert "IS ON" in done.stdout
