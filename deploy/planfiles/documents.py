"""Files as people keep them: plain or gzipped, several JSON documents run together, CSV with their own headers."""

import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.kernel.errors import PermanentError

GZIP_MAGIC = b"\x1f\x8b"
STDIN = "-"


class PlanFileError(PermanentError):
    """A file is not what it should be."""


def text_of(path: Path) -> str:
    """Read a file, or standard input for `-`; gzipped or not.

    Raises:
        PlanFileError: it cannot be read, or is not text.
    """
    try:
        raw = sys.stdin.buffer.read() if str(path) == STDIN else path.read_bytes()
        if raw[:2] == GZIP_MAGIC:
            raw = gzip.decompress(raw)
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PlanFileError(f"{path} is not UTF-8 text.") from error
    except (OSError, EOFError, zlib.error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PlanFileError(f"{path} cannot be read: {why}.") from error


def looks_like_json(text: str) -> bool:
    """Whether the first character opens a JSON object or array."""
    return text.lstrip()[:1] in ("{", "[")


def json_documents(path: Path, text: str | None = None) -> list[Any]:
    """Give every JSON document of a file, in order.

    Raises:
        PlanFileError: a document is broken.
    """
    text = text_of(path) if text is None else text
    decoder = json.JSONDecoder()
    documents: list[Any] = []
    at = 0
    while True:
        at = _skip_space(text, at)
        if at == len(text):
            break
        try:
            document, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            is_other = not documents and not looks_like_json(text)
            hint = "; kubectl writes JSON with -o json, aws with --output json" if is_other else ""
            raise PlanFileError(
                f"{path}, line {error.lineno}: this is not JSON ({error.msg}){hint}."
            ) from error
        except RecursionError as error:
            raise PlanFileError(f"{path}: this JSON is nested too deeply.") from error
        documents.append(document)
    if not documents:
        raise PlanFileError(f"{path} is empty.")
    return documents


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def csv_rows(path: Path, text: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Give the header in lower case, and each row, as wide as the header, with the number of its line.

    Raises:
        PlanFileError: there is no header; while reading, a row has more fields than it.
    """
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
    except csv.Error as error:
        raise PlanFileError(f"{path}, line 1: this is not CSV ({error}).") from error
    if not header:
        raise PlanFileError(f"{path} is empty.")

    def rows() -> Iterator[tuple[int, list[str]]]:
        width = len(header)
        try:
            for row in reader:
                if len(row) == width:
                    yield reader.line_num, row
                elif len(row) > width:
                    raise PlanFileError(f"{path}, line {reader.line_num}: more fields than the header names.")
                elif any(row):
                    yield reader.line_num, row + [""] * (width - len(row))
        except csv.Error as error:
            raise PlanFileError(f"{path}, line {reader.line_num}: this is not CSV ({error}).") from error

    return header, rows()
