"""What the doctor makes of what it finds: both sides of each limit, and nothing secret in it."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from tenterhook.cli.doctor import command, configuration, database, host, sandbox
from tenterhook.cli.doctor.finding import Weight, ok, problem, warning
from tenterhook.sandbox import SandboxStatus
from tenterhook.sandbox.jail import probing
from tenterhook.sandbox.node_releases import release_list
from tenterhook.settings import Settings
from tests.unit.sandbox.found_layers import found

GIB = 1024**3


@pytest.mark.parametrize(
    ("tier", "without", "unsafe", "weight"),
    [
        (1, set(), False, Weight.OK),
        (1, set(), True, Weight.OK),
        (2, {"cgroup"}, False, Weight.WARNING),
        (3, {"cgroup", "namespaces"}, False, Weight.WARNING),
        (0, {"seccomp"}, False, Weight.PROBLEM),
        (0, {"seccomp"}, True, Weight.PROBLEM),
    ],
)
def test_the_tier_weighs_what_is_lost(tier, without, unsafe, weight):
    findings = sandbox.sandbox_findings(SandboxStatus.of(found(tier=tier, without=without), unsafe=unsafe))
    assert findings[0].weight is weight
    assert {finding.name for finding in findings[1:] if finding.weight is Weight.WARNING} == without
    assert all(finding.lost for finding in findings[1:] if finding.weight is not Weight.OK)


def test_every_layer_that_hooks_cannot_do_without_has_a_remedy():
    demanded = (
        probing.ALWAYS | probing.NAMESPACED | probing.CGROUPS | probing.GATE | {"own_uid", "user_namespace"}
    )
    needs_another_kernel = {"no_new_privileges", "parent_death_signal"}
    assert demanded - needs_another_kernel <= set(sandbox._REMEDIES)


def test_a_remedy_for_many_is_said_once(capsys):
    command.show([warning("a", "b", "x", remedy="the same"), warning("a", "c", "y", remedy="the same")])
    assert "a, b, c: the same" in capsys.readouterr().out


def test_a_refusal_says_what_to_do_and_an_unsafe_start_is_loud():
    nothing = found(tier=0, without={"seccomp"})
    refused = sandbox.sandbox_findings(SandboxStatus.of(nothing, unsafe=False))[0]
    assert "hooks are refused (missing: seccomp)" in refused.detail
    assert refused.remedy
    unsafe = sandbox.sandbox_findings(SandboxStatus.of(nothing, unsafe=True))[0]
    assert "HOOKS RUN ALL THE SAME" in unsafe.detail


async def test_node_and_npm_are_looked_at_by_running_them():
    findings = await sandbox.node_findings(release_list().asked_on)
    assert [finding.name for finding in findings] == ["node", "age", "npm"]
    assert findings[0].weight is findings[2].weight is Weight.OK


@pytest.mark.parametrize(("days", "weight"), [(0, Weight.OK), (91, Weight.WARNING)])
async def test_an_old_node_is_a_warning(days, weight):
    day = release_list().published[sandbox.find_node().version] + dt.timedelta(days=days)
    age = (await sandbox.node_findings(day))[1]
    assert age.weight is weight
    assert f"at least {days} days ago" in age.detail


@pytest.mark.parametrize(
    ("free", "weight"),
    [
        (host.LITTLE_DISK_BYTES, Weight.OK),
        (host.LITTLE_DISK_BYTES - 1, Weight.WARNING),
        (host.HARDLY_ANY_DISK_BYTES, Weight.WARNING),
        (host.HARDLY_ANY_DISK_BYTES - 1, Weight.PROBLEM),
    ],
)
def test_room_on_the_disk(free, weight):
    assert host.judged_disk(Path("data"), free, 10**6).weight is weight


def test_a_disk_without_room_for_files_is_a_warning_and_one_that_counts_none_is_not():
    assert host.judged_disk(Path("data"), 10 * GIB, 1000).weight is Weight.WARNING
    assert host.judged_disk(Path("data"), 10 * GIB, 0).weight is Weight.OK


@pytest.mark.parametrize(
    ("soft", "weight"),
    [
        (-1, Weight.OK),
        (host.FEW_OPEN_FILES, Weight.OK),
        (host.FEW_OPEN_FILES - 1, Weight.WARNING),
        (host.TOO_FEW_OPEN_FILES - 1, Weight.PROBLEM),
    ],
)
def test_open_files(soft, weight):
    assert host.judged_open_files(soft, 1_048_576).weight is weight


def test_a_clock_before_this_release_is_a_problem_and_one_that_nobody_keeps_a_warning():
    made = dt.datetime.combine(release_list().asked_on, dt.time(), dt.UTC)
    assert host.judged_clock(made - dt.timedelta(days=2), is_kept=True).weight is Weight.PROBLEM
    assert host.judged_clock(made, is_kept=True).weight is Weight.OK
    assert host.judged_clock(made, is_kept=False).weight is Weight.WARNING
    assert host.judged_clock(made, is_kept=None).weight is Weight.OK


@pytest.mark.parametrize(("seconds", "weight"), [(5.0, Weight.OK), (5.1, Weight.WARNING)])
def test_clocks_that_differ(seconds, weight):
    assert database.judged_skew(seconds).weight is weight


def test_servers_are_judged_by_version_and_role():
    assert database.judged_server("x", "17.2 (Debian)", 17, is_superuser=False).weight is Weight.OK
    assert database.judged_server("x", "17.2", 17, is_superuser=True).weight is Weight.WARNING
    assert database.judged_server("x", "13.9", 13, is_superuser=False).weight is Weight.PROBLEM


async def test_a_database_that_cannot_be_reached_is_told_without_its_password():
    url = "postgresql://somebody:secret-word@127.0.0.1:1/nowhere"
    findings = await database.database_findings(Settings(database_url=SecretStr(url)))
    assert [finding.weight for finding in findings] == [Weight.PROBLEM]
    assert "secret-word" not in repr(findings)


async def test_without_data_the_embedded_database_is_only_looked_at(tmp_path):
    data = tmp_path / "data"
    findings = await database.database_findings(Settings(data_dir=data))
    assert [finding.weight for finding in findings] == [Weight.OK]
    assert "no data yet" in findings[0].detail
    assert not data.exists()


async def test_a_user_for_whom_postgresql_makes_no_database_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 3_999_999_999)
    findings = await database.database_findings(Settings(data_dir=tmp_path))
    assert [finding.weight for finding in findings] == [Weight.PROBLEM]
    assert "/etc/passwd" in findings[0].detail


def test_a_data_folder_that_is_not_there_yet_is_fine(tmp_path):
    settings = Settings(data_dir=tmp_path / "data")
    assert host.data_folder_finding(settings).weight is Weight.OK
    assert host.key_finding(settings).weight is Weight.OK
    assert host.disk_finding(settings).detail.endswith(str(tmp_path))


def test_a_data_folder_that_others_may_write_is_a_problem(tmp_path):
    tmp_path.chmod(0o777)
    assert "others may write" in host.data_folder_finding(Settings(data_dir=tmp_path)).detail
    tmp_path.chmod(0o700)
    assert host.data_folder_finding(Settings(data_dir=tmp_path)).weight is Weight.OK


def test_a_key_that_others_may_read_is_a_problem_and_is_not_shown(tmp_path):
    key = tmp_path / "secrets.key"
    text = "A" * 43 + "="
    key.write_text(text)
    key.chmod(0o644)
    settings = Settings(data_dir=tmp_path, secrets_key_file=key)
    found_key = host.key_finding(settings)
    assert found_key.weight is Weight.PROBLEM
    assert text not in repr(found_key)
    key.chmod(0o600)
    assert host.key_finding(settings).weight is Weight.OK
    key.unlink()
    assert host.key_finding(settings).weight is Weight.PROBLEM


def test_unsafe_settings_are_loud_whichever_they_are():
    names = [name for name in Settings.model_fields if name.startswith("unsafe_")]
    assert "unsafe_run_hooks_without_sandbox" in names
    for name in names:
        findings = configuration.settings_findings(Settings(**{name: True}))
        assert [finding.name for finding in findings if finding.weight is Weight.WARNING] == [
            f"TENTERHOOK_{name.upper()}"
        ]
    assert all(finding.weight is Weight.OK for finding in configuration.settings_findings(Settings()))


def test_egress_grants_are_listed():
    findings = configuration.settings_findings(Settings(egress_allow="127.0.0.1:8099, 10.0.0.0/8:443"))
    assert "by grant: 10.0.0.0/8:443, 127.0.0.1:8099" in findings[1].detail


def test_a_file_of_certificates_that_cannot_be_read_is_a_problem(tmp_path):
    file = tmp_path / "ca.pem"
    absent = configuration.settings_findings(Settings(extra_ca_file=file))
    assert [finding.name for finding in absent if finding.weight is Weight.PROBLEM] == [
        "TENTERHOOK_EXTRA_CA_FILE"
    ]
    assert str(file) in absent[2].detail
    file.write_text("certificates")
    assert configuration.settings_findings(Settings(extra_ca_file=file))[2].weight is Weight.OK


async def test_no_hook_is_run_where_hooks_are_refused():
    nothing = SandboxStatus.of(found(tier=0, without={"seccomp"}), unsafe=False)
    finding = await sandbox.hook_finding(nothing, Settings())
    assert finding.weight is Weight.WARNING
    assert "not run" in finding.detail


def test_the_report_says_it_all_and_the_worst_counts(capsys):
    findings = [
        ok("a", "b", "fine"),
        warning("a", "c", "meh", lost="x"),
        problem("a", "d", "bad", remedy="y"),
    ]
    report = command.report(findings, SandboxStatus.of(found(tier=1), unsafe=False))
    assert report["verdict"] == "problem"
    assert [finding["weight"] for finding in report["findings"]] == ["ok", "warning", "problem"]
    assert len(report["sandbox"]["layers"]) == 4
    command.show(findings)
    shown = capsys.readouterr().out
    assert "1 problem, 1 warning." in shown
    assert "problem: a, d: y" in shown


def test_what_hosts_say_cannot_play_with_the_terminal(capsys):
    command.show([problem("a", "b", "x\x1b[2Jy\nz", remedy="r\x1b]0;t\x07")])
    assert "\x1b[2J" not in capsys.readouterr().out


def test_everybody_may_run_it_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    host.disk_finding(Settings())
    assert os.listdir(tmp_path) == []
