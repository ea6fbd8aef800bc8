"""The bus's configuration for containers, read by the real nats-server."""

import asyncio
import json
from pathlib import Path

import nats
import pytest

from deploy.local import nats_server
from deploy.local.ports import free_port
from deploy.tools import docker_env, nats_config
from tests.waiting import until


@pytest.fixture
def environment() -> dict[str, str]:
    lines = docker_env.filled(docker_env.EXAMPLE.read_text()).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_a_missing_password_is_named(
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PRICING_NATS_PASSWORD", "")
    assert nats_config.main(["--output", str(tmp_path / "nats.json")]) == 2
    assert "Set PRICING_NATS_PASSWORD;" in capsys.readouterr().err
    assert not (tmp_path / "nats.json").exists()


def test_the_file_holds_no_seed_and_is_not_for_everybody(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "nats.json"
    assert nats_config.main(["--output", str(file)]) == 0
    assert file.stat().st_mode & 0o007 == 0
    assert environment["GATEWAY_CALLOUT_ISSUER_SEED"] not in file.read_text()
    config = json.loads(file.read_text())
    assert config["listen"] == "0.0.0.0:4222"
    assert config["http"] == "127.0.0.1:8222"
    assert config["authorization"]["auth_callout"]["issuer"].startswith("A")


@pytest.mark.nats
async def test_nats_server_takes_it_and_keeps_services_apart(
    environment: dict[str, str], tmp_path: Path
) -> None:
    config = json.loads(nats_config.config(environment, host="127.0.0.1", store=tmp_path / "store"))
    port, monitor = free_port(), free_port()
    config |= {"listen": f"127.0.0.1:{port}", "http": f"127.0.0.1:{monitor}"}
    file = tmp_path / "nats.json"
    file.write_text(json.dumps(config))
    server = await nats_server.start(file, port=port, log=tmp_path / "nats.log")
    try:
        refusals: list[Exception] = []

        async def refused(error: Exception) -> None:
            refusals.append(error)

        password = environment["PRICING_NATS_PASSWORD"]
        client = await nats.connect(server.url, user="pricing", password=password, error_cb=refused)
        await client.publish("pricing.evt.v1.pool_flagged.us-east-1", b"{}")
        await client.flush()
        assert refusals == []
        await client.publish("executor.evt.v1.step_changed.c1", b"{}")
        await client.flush()
        await until(lambda: "permissions violation" in str(refusals).lower())
        await client.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", monitor)
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert b"200 OK" in answer
        assert b'"ok"' in answer
    finally:
        server.stop()
