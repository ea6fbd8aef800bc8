"""Files as people keep them."""

import gzip
from pathlib import Path

import pytest

from deploy.planfiles.documents import PlanFileError, csv_rows, json_documents, text_of


def test_documents_run_together_are_all_read(tmp_path: Path) -> None:
    path = tmp_path / "two.json"
    path.write_text('{"a": 1}{"b": 2}\n[3]')
    assert json_documents(path) == [{"a": 1}, {"b": 2}, [3]]


def test_gzip_is_seen_by_content(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    header, rows = csv_rows(path, text_of(path))
    assert (header, list(rows)) == (["a", "b"], [(2, ["1", "2"])])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param('{"a":\n\n', "line 3: this is not JSON", id="broken"),
        pytest.param("apiVersion: v1\n", "this is not JSON .*; kubectl writes JSON with -o json", id="YAML"),
        pytest.param('{"a": 1} b', r"this is not JSON \(Expecting value\)\.$", id="something behind"),
        pytest.param("  \n", "is empty", id="empty"),
        pytest.param("[" * 100_000, "nested too deeply", id="deep"),
    ],
)
def test_what_is_not_json_is_refused_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(PlanFileError, match=message):
        json_documents(path)


def test_a_file_that_is_not_text_or_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(PlanFileError, match=r"x\.json cannot be read: No such file"):
        text_of(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlanFileError, match="not UTF-8"):
        text_of(path)
    whole = gzip.compress(b"abc" * 100)
    for broken in (whole[:20], whole[:10] + b"\xff" * 10 + whole[20:], whole[:-8] + bytes(8)):
        path.write_bytes(broken)
        with pytest.raises(PlanFileError, match="cannot be read"):
            text_of(path)
