"""`spotopt plan` with its files, for tests of what it says and does."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner, Result

from deploy.cli import plan

PRICES = "region,instance_type,usd_per_hour\nus-east-1,m5.large,0.096\nus-east-1,m5.xlarge,0.192\n"


def run(*arguments: str | Path) -> Result:
    app = typer.Typer()
    app.command()(plan.plan)
    return CliRunner().invoke(app, [str(a) for a in arguments])


def pod(name: str, *, cpu: str = "500m", memory: str = "1Gi", node: str | None = None) -> dict[str, Any]:
    owner = {"kind": "ReplicaSet", "name": "web-1", "apiVersion": "apps/v1", "uid": "u", "controller": True}
    requests = {"cpu": cpu, "memory": memory}
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "ownerReferences": [owner]},
        "spec": {
            "containers": [{"name": "c", "resources": {"requests": requests}}],
            **({"nodeName": node} if node else {}),
        },
        "status": {"phase": "Running" if node else "Pending"},
    }


def node(name: str, instance_type: str = "m5.xlarge") -> dict[str, Any]:
    labels = {"node.kubernetes.io/instance-type": instance_type, "topology.kubernetes.io/zone": "us-east-1a"}
    room = {"cpu": "3920m", "memory": "14Gi", "pods": "58"}
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"providerID": f"aws:///us-east-1a/i-0123456789abcde0{name}"},
        "status": {
            "allocatable": room,
            "capacity": room,
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def cluster(folder: Path, items: Sequence[dict[str, Any]] | None, name: str = "cluster.json") -> Path:
    path = folder / name
    path.write_text(json.dumps({"kind": "List", "apiVersion": "v1", "items": items}))
    return path


def prices(folder: Path, content: str = PRICES) -> Path:
    path = folder / "prices.csv"
    path.write_text(content)
    return path
