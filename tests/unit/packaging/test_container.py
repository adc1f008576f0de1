"""The container's files agree with the program and with each other; no engine is here to build or run them."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from tenterhook.cli.program import program
from tenterhook.settings import Settings, environment_name

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "packaging" / "container"
SETTINGS = {environment_name(name) for name in Settings.model_fields}


def instructions() -> list[tuple[str, str]]:
    """Return the Containerfile's instructions, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (FOLDER / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(line.split()[0], line.partition(" ")[2]) for line in lines if line.strip()]


def only(name: str) -> str:
    found = [rest for instruction, rest in instructions() if instruction == name]
    assert len(found) == 1
    return found[0]


def test_it_runs_as_a_number_that_is_not_root():
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", only("USER"))
    after_user = [instruction for instruction, _ in instructions()][-1:]
    assert after_user == ["CMD"]
    assert "RUN" not in [name for name, _ in instructions()][[n for n, _ in instructions()].index("USER") :]


def test_it_installs_what_is_locked_and_runs_no_code_of_packages():
    installations = [rest for name, rest in instructions() if name == "RUN" and "pip install" in rest]
    assert len(installations) == 1
    assert "--require-hashes" in installations[0]
    assert "--only-binary=:all:" in installations[0]
    assert "--no-index --no-deps" in installations[0]


def test_what_it_copies_is_what_a_build_may_see():
    sources = only("COPY").split()[:-1]
    allowed = [
        line.removeprefix("!")
        for line in (FOLDER / "Containerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    assert sorted(sources) == sorted(allowed)
    for source in sources:
        assert source.startswith("dist/") or (ROOT / source).is_file()


def test_its_environment_is_made_of_settings_that_exist():
    names = {part.partition("=")[0] for part in shlex.split(only("ENV"))}
    assert {name for name in names if name.startswith("TENTERHOOK_")} <= SETTINGS


def test_it_starts_a_command_that_exists_on_the_port_that_it_shows():
    assert json.loads(only("CMD"))[0] in get_command(program).commands
    assert only("EXPOSE") == str(Settings.model_fields["port"].default)
    assert json.loads(only("ENTRYPOINT")) == ["/opt/tenterhook/bin/tenterhook"]


def compose(name: str = "compose.yaml") -> dict:
    return yaml.safe_load((FOLDER / name).read_text())


@pytest.mark.parametrize("service", ["init", "api", "worker"])
def test_no_service_of_ours_has_a_privilege(service):
    made = compose()["services"][service]
    assert made["cap_drop"] == ["ALL"]
    assert made["read_only"] is True
    assert made["security_opt"] == ["no-new-privileges:true"]  # so the engine's own seccomp profile stays on
    forbidden = {"privileged", "cap_add", "network_mode", "pid", "ipc", "userns_mode", "devices", "user"}
    assert forbidden.isdisjoint(made)


def test_no_service_at_all_is_privileged_or_sees_the_engine():
    for made in compose()["services"].values():
        assert "privileged" not in made
        assert not any("docker.sock" in volume or volume.startswith("/") for volume in made["volumes"])


def test_services_run_commands_that_exist_with_settings_that_exist():
    for name in ("init", "api", "worker"):
        made = compose()["services"][name]
        assert made["command"][0] in get_command(program).commands
        assert set(made["environment"]) <= SETTINGS


def test_the_database_is_reached_from_inside_alone():
    document = compose()
    postgres = document["services"]["postgres"]
    assert "ports" not in postgres
    assert postgres["networks"] == ["inside"]
    assert document["networks"]["inside"] == {"internal": True}
    assert document["services"]["api"]["ports"] == ["127.0.0.1:8585:8585"]


def test_no_password_is_written_down():
    text = (FOLDER / "compose.yaml").read_text()
    assert set(re.findall(r"POSTGRES_PASSWORD: (\S+)", text)) == {"${POSTGRES_PASSWORD:?see"}
    assert "tenterhook:${POSTGRES_PASSWORD:?" in text


def test_every_volume_and_network_that_is_used_is_declared():
    document = compose()
    for made in document["services"].values():
        assert {volume.partition(":")[0] for volume in made["volumes"]} <= set(document["volumes"])
        assert set(made["networks"]) <= set(document["networks"])
        assert set(made.get("depends_on", {})) <= set(document["services"])


def test_the_file_for_namespaces_changes_nothing_but_the_profiles():
    document = compose("compose.namespaces.yaml")
    assert set(document["services"]) == {"api", "worker"}
    for made in document["services"].values():
        assert made == {"security_opt": ["seccomp=./seccomp.json", "apparmor=unconfined"]}


@pytest.fixture(scope="module")
def with_namespaces():
    spec = importlib.util.spec_from_file_location("profile", FOLDER / "seccomp_with_namespaces.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.with_namespaces


# In the shape, and with the rules that matter, of the engines' own.
DEFAULT = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X32"]}],
    "syscalls": [
        {"names": ["read", "seccomp", "landlock_create_ruleset"], "action": "SCMP_ACT_ALLOW"},
        {
            "names": ["clone"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 0x7E020000, "op": "SCMP_CMP_MASKED_EQ"}],
        },
        {"names": ["mount", "bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        {"names": ["bpf", "sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
        {"names": ["unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
    ],
}


def test_a_profile_gets_one_rule_and_loses_what_would_contradict_it(with_namespaces):
    made = with_namespaces(DEFAULT)
    assert {name: made[name] for name in DEFAULT if name != "syscalls"} == {
        name: DEFAULT[name] for name in DEFAULT if name != "syscalls"
    }
    *kept, added = made["syscalls"]
    assert added["action"] == "SCMP_ACT_ALLOW"
    assert {"clone", "unshare", "mount", "pivot_root"} <= set(added["names"])
    assert "args" not in added
    assert kept == [*DEFAULT["syscalls"][:4], {**DEFAULT["syscalls"][4], "names": ["bpf"]}]


def test_what_a_profile_refuses_besides_stays_refused(with_namespaces):
    added = with_namespaces(DEFAULT)["syscalls"][-1]["names"]
    assert {"bpf", "clone3", "setns", "ptrace", "kexec_load", "io_uring_setup"}.isdisjoint(added)


def test_the_pod_in_the_docs_has_no_privilege_and_settings_that_exist():
    page = (ROOT / "docs" / "how-to" / "containers.md").read_text()
    pod = yaml.safe_load(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == only("USER")
    volumes = {volume["name"] for volume in pod["volumes"]}
    for container in [*pod["initContainers"], *pod["containers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {variable["name"] for variable in container["env"]} <= SETTINGS
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        assert set(container.get("args", [])) <= set(get_command(program).commands)
