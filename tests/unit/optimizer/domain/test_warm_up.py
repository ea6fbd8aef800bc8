"""What is compiled before the first plan."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COLD = """
import importlib, json, pkgutil
from numba.core.dispatcher import Dispatcher
from services.optimizer import domain
from services.optimizer.domain.warm_up import warm_up

plan = warm_up()
kernels = {}
for module in pkgutil.walk_packages(domain.__path__, domain.__name__ + "."):
    for name, kernel in vars(importlib.import_module(module.name)).items():
        if isinstance(kernel, Dispatcher) and kernel.py_func.__module__ == module.name:
            kernels[f"{module.name}.{name}"] = len(kernel.signatures)
print(json.dumps({"moves": len(plan.moves), "kernels": kernels}))
"""


@pytest.mark.slow
def test_every_kernel_is_compiled_once_and_no_plan_waits_for_one(tmp_path: Path) -> None:
    # A cache of its own: what is loaded from one does not show what it calls.
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    told = subprocess.run(
        [sys.executable, "-c", COLD], check=True, capture_output=True, text=True, env=environment
    )
    found = json.loads(told.stdout)
    assert found["moves"] > 0
    assert len(found["kernels"]) > 20
    assert [name for name, signatures in found["kernels"].items() if not signatures] == []
