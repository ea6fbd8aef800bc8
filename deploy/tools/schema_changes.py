"""Say which consumers a change of the committed schemas breaks.

`python -m deploy.tools.schema_changes BEFORE [AFTER]` compares two versions, each a git revision or a folder that
holds schemas (AFTER: the working tree). A consumer reads with the classes it was built with, so what a producer
stops sending breaks it, and so does a value that it does not know: unknown enum members are malformed, never a
default. A new required field breaks whoever still holds messages that were sent without it, the streams included.
New optional fields break nobody.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.tools.schemas import FOLDER, SCHEMAS

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference that an old reader, or an old message, does not survive."""

    schema: str
    """The file's name, such as v1/pricing.pool_flagged.json."""
    field: str
    """Path of the field, such as prices[].pool.zone_id; empty: the message itself."""
    what: str
    consumers: tuple[str, ...]
    """Who reads it, in the table of before."""

    def __str__(self) -> str:
        where = f"{self.schema} {self.field}".rstrip()
        return f"{where}: {self.what}; breaks {', '.join(self.consumers) or 'nobody that the table knows'}"


def _resolved(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        schema = {**root["$defs"][name], **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema


def _alternatives(schema: Schema, root: Schema) -> dict[str, Schema]:
    """Give what a field may be, by a name that stays the same while only its inside changes."""
    schema = _resolved(schema, root)
    found: dict[str, Schema] = {}
    for part in schema.get("anyOf") or schema.get("oneOf") or [schema]:
        alternative = _resolved(part, root)
        kind = alternative.get("properties", {}).get("kind", {}).get("const")
        name = alternative.get("type", "any")
        if name == "string":
            name = alternative.get("format", name)
        found[f"{name} {kind}" if kind else name] = alternative
    return found


def _compare(
    before: Schema, after: Schema, roots: tuple[Schema, Schema], field: str, seen: frozenset[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    refs = (str(before.get("$ref")), str(after.get("$ref")))
    if "$ref" in before and refs in seen:
        return
    seen |= {refs}
    old, new = _alternatives(before, roots[0]), _alternatives(after, roots[1])
    for gone in sorted(old.keys() - new.keys()):
        yield field, f"is no {gone} any more"
    for added in sorted(new.keys() - old.keys()):
        yield field, f"may now be {added}"
    for name in sorted(old.keys() & new.keys()):
        yield from _compare_one(old[name], new[name], roots, field, seen)


def _compare_one(
    old: Schema, new: Schema, roots: tuple[Schema, Schema], field: str, seen: frozenset[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    if "enum" in old or "enum" in new:
        members, now = set(old.get("enum", [])), set(new.get("enum", []))
        yield from ((field, f"has a new member {name!r}") for name in sorted(now - members))
        yield from ((field, f"lost its member {name!r}") for name in sorted(members - now))
    if old.get("const") != new.get("const"):
        yield field, f"was always {old.get('const')!r} and is now {new.get('const')!r}"
    if old.get("pattern") != new.get("pattern"):
        yield field, f"follows {new.get('pattern')!r} and no longer {old.get('pattern')!r}"
    fields, now_fields = old.get("properties", {}), new.get("properties", {})
    inside = f"{field}." if field else ""
    yield from ((f"{inside}{name}", "was removed") for name in fields.keys() - now_fields.keys())
    for name in sorted(set(new.get("required", [])) - set(old.get("required", []))):
        was = "is now required" if name in fields else "is new and required"
        yield f"{inside}{name}", was
    for name in sorted(fields.keys() & now_fields.keys()):
        yield from _compare(fields[name], now_fields[name], roots, f"{inside}{name}", seen)
    for keyword, sign in (("items", "[]"), ("additionalProperties", "{}")):
        inner, now_inner = old.get(keyword), new.get(keyword)
        if isinstance(inner, Mapping) and isinstance(now_inner, Mapping):
            yield from _compare(inner, now_inner, roots, f"{field}{sign}", seen)


def readers(name: str, schemas: Mapping[str, Schema]) -> tuple[str, ...]:
    """Name who reads the messages of a schema: of an event its consumers, of a request its server."""
    schema = schemas[name]
    kind = str(schema.get("x-type", "..")).split(".")[1]
    owner = name.split("/")[-1].partition(".")[0]
    if kind == "evt":
        return tuple(schema["x-consumers"])
    if kind in ("rpc", "cmd"):
        return (owner,)
    title = name.split("/")[-1].removesuffix(".json")
    asked = [s for s in schemas.values() if s.get("x-reply") == title]
    if not asked and "." in title:
        return (owner,)
    return tuple(dict.fromkeys(asker for schema in asked for asker in schema["x-consumers"]))


def breaking(before: Mapping[str, Schema], after: Mapping[str, Schema]) -> list[Change]:
    """Give every change that breaks a reader of before."""
    found: list[Change] = []
    for name in sorted(before):
        who = readers(name, before)
        if name not in after:
            found.append(Change(name, "", "the message was removed", who))
            continue
        roots = (before[name], after[name])
        for key, what in (("x-type", "subject"), ("x-scope", "scope"), ("x-reply", "reply")):
            if before[name].get(key) != after[name].get(key):
                found.append(Change(name, "", f"its {what} is now {after[name].get(key)}", who))
        found += [
            Change(name, field, what, who)
            for field, what in _compare(before[name], after[name], roots, "", frozenset())
        ]
    return list(dict.fromkeys(found))


def load(source: str, *, root: Path = FOLDER.parents[1]) -> dict[str, Schema]:
    """Read schemas from a folder or from a git revision.

    Raises:
        ValueError: it is neither.
    """
    folder = Path(source)
    if folder.is_dir():
        return {p.relative_to(folder).as_posix(): json.loads(p.read_text()) for p in folder.rglob("*.json")}
    inside = SCHEMAS.relative_to(FOLDER.parents[1]).as_posix()
    try:
        names = _git(root, "ls-tree", "-r", "--name-only", source, "--", inside).splitlines()
    except (OSError, subprocess.CalledProcessError) as error:
        raise ValueError(f"{source} is neither a folder nor a git revision.") from error
    return {
        name.removeprefix(f"{inside}/"): json.loads(_git(root, "show", f"{source}:{name}")) for name in names
    }


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", root, *arguments], check=True, capture_output=True, text=True).stdout


def main(argv: list[str]) -> int:
    """Compare; 0: nobody breaks, 1: somebody does, 2: an argument is no version."""
    parser = argparse.ArgumentParser(prog="python -m deploy.tools.schema_changes", description=__doc__)
    parser.add_argument("before", help="git revision or folder, such as main")
    parser.add_argument("after", nargs="?", default=str(SCHEMAS), help="the same; default: the working tree")
    options = parser.parse_args(argv)
    try:
        changes = breaking(load(options.before), load(options.after))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for change in changes:
        print(change)  # noqa: T201
    if not changes:
        print("No consumer breaks.")  # noqa: T201
    return 1 if changes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
