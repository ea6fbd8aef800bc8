"""What a sandbox is to be, read from one JSON file."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class SandboxConfigError(Exception):
    """The file cannot be used; the message says why in one sentence."""


class SandboxConfig(BaseModel):
    """The file that `python -m deploy.sandbox --config` takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state_dir: Path
    """Gets sandbox.json, the kubeconfig and the API server's key."""
    region: str = "us-east-1"
    cluster_name: str = Field(default="demo", pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    prices_file: Path | None = None
    """Recorded spot prices; none simulates a market."""
    on_demand_file: Path | None = None
    clock_factor: float = Field(default=30.0, gt=0, le=10_000)
    """Sandbox seconds per real second."""
    market_moves: bool = True
    """Whether prices change while the sandbox runs."""
    seed: int = 1
    aws_port: int = Field(default=0, ge=0, le=65_535)
    """0: any free port; so for the other two."""
    kubernetes_port: int = Field(default=0, ge=0, le=65_535)
    control_port: int = Field(default=0, ge=0, le=65_535)


def read_config(path: Path) -> SandboxConfig:
    """Read the file.

    Raises:
        SandboxConfigError: it is missing or makes no sense.
    """
    try:
        return SandboxConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise SandboxConfigError(msg) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        msg = f"{path}: {where}: {first['msg']}"
        raise SandboxConfigError(msg) from error
