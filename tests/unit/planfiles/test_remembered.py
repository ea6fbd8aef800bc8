"""A long price history is read once, and a broken cache is no cache."""

from pathlib import Path
from typing import Any

import pytest

from deploy.planfiles import prices, remembered

HEADER = "region,instance_type,zone,usd_per_hour,timestamp\n"
ROW = "us-east-1,m5.large,us-east-1a,0.03{:02},2021-03-01T00:00:00\n"


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "spot.csv"
    file.write_text(HEADER + "".join(ROW.format(i % 100) for i in range(2000)))
    return file


def _count(read: list[int]) -> Any:
    def rows() -> list[list[Any]]:
        read.append(1)
        return [["m5.large", 0.1]]

    return rows


def test_the_second_run_gives_the_same_and_does_not_read_the_file(history: Path) -> None:
    first = prices.spot_prices(history, "us-east-1")
    assert len(list(history.parent.rglob("cache/**/*.json"))) == 1
    assert prices.spot_prices(history, "us-east-1") == first
    read: list[int] = []
    for _ in range(2):
        assert remembered.rows(history, "asked twice", _count(read)) == [["m5.large", 0.1]]
    assert read == [1]


def test_a_changed_file_and_another_question_are_read(history: Path) -> None:
    read: list[int] = []
    remembered.rows(history, "a", _count(read))
    remembered.rows(history, "b", _count(read))
    history.write_text(history.read_text() + ROW.format(7))
    remembered.rows(history, "a", _count(read))
    assert len(read) == 3


@pytest.mark.parametrize("content", ["", "{", '{"a": 1}'])
def test_a_broken_cache_is_read_past_and_mended(history: Path, content: str) -> None:
    first = prices.spot_prices(history, "us-east-1")
    (kept,) = history.parent.rglob("cache/**/*.json")
    kept.write_text(content)
    assert prices.spot_prices(history, "us-east-1") == first
    assert kept.read_text().startswith("[[")


def test_without_a_place_to_write_nothing_is_remembered(
    history: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(history / "not-a-folder"))
    assert prices.spot_prices(history, "us-east-1")
