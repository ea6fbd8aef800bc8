"""The committed examples, and where in them a schema allows what."""

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from deploy.tools import schemas
from shared.contracts.subjects import SUBJECTS

Json = Any
Place = tuple[str | int, ...]

CLASSES: Mapping[str, type[BaseModel]] = {
    **{schemas.title_of(s): s.message for s in SUBJECTS},
    **{schemas.reply_title(s): s.reply for s in SUBJECTS if s.reply is not None},
    **schemas.EMBEDDED,
}
"""What each folder of examples holds."""


@dataclass(frozen=True, slots=True)
class Example:
    """One committed file."""

    title: str
    path: Path

    @property
    def model(self) -> type[BaseModel]:
        return CLASSES[self.title]

    @property
    def body(self) -> Json:
        return json.loads(self.path.read_text())

    def __str__(self) -> str:
        return f"{self.title}/{self.path.stem}"


EXAMPLES = tuple(Example(path.parent.name, path) for path in sorted(schemas.EXAMPLES.glob("v1/*/*.json")))


def objects_in(example: Example) -> list[Place]:
    """Give where the example holds objects with named fields (maps such as labels are none)."""
    root = example.model.model_json_schema()
    return [place for place, what in _walk(root, root, example.body, ()) if what == "object"]


def enums_in(example: Example) -> list[Place]:
    """Give where the example holds a member of an enumeration."""
    root = example.model.model_json_schema()
    return [place for place, what in _walk(root, root, example.body, ()) if what == "enum"]


def changed(body: Json, place: Place, value: Json) -> Json:
    """Give a copy with another value there."""
    result = copy.deepcopy(body)
    inside = result
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return result


def _walk(schema: Json, root: Json, value: Json, place: Place) -> Iterator[tuple[Place, str]]:
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    for part in schema.get("anyOf") or schema.get("oneOf") or ():
        resolved = root["$defs"][part["$ref"].rsplit("/", 1)[1]] if "$ref" in part else part
        kind = resolved.get("properties", {}).get("kind", {}).get("const")
        if kind is None or (isinstance(value, dict) and value.get("kind") == kind):
            yield from _walk(resolved, root, value, place)
    if "enum" in schema and isinstance(value, str):
        yield place, "enum"
    if isinstance(value, dict) and "properties" in schema:
        yield place, "object"
        for name, inner in schema["properties"].items():
            if name in value:
                yield from _walk(inner, root, value[name], (*place, name))
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from _walk(schema["items"], root, item, (*place, index))
