"""The layers of .importlinter, as a test; and that its contracts cover every part."""

import configparser
from pathlib import Path

import pytest
from importlinter import api
from importlinter.application import use_cases

ROOT = Path(__file__).parents[2]


def test_every_import_contract_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    # The library registers its adapters when this function of its public module is called.
    configuration = api.read_configuration(str(ROOT / ".importlinter"))
    kept = use_cases.lint_imports(config_filename=str(ROOT / ".importlinter"), cache_dir=None, no_logo=True)
    assert len(configuration["contracts_options"]) >= 10
    assert kept, capsys.readouterr().out


def test_every_package_with_code_is_linted() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    packages = {p.parent.name for p in ROOT.glob("*/__init__.py")}
    assert set(config["importlinter"]["root_packages"].split()) == packages
