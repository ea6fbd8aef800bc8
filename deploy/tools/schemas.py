"""Write the JSON Schema of every message into the repository, and say where a committed one is out of date.

`python -m deploy.tools.schemas` writes, `--check` compares. The classes are the schema of record; the files make
a change of them visible in a review, and are what other languages read. Replies, Policy and NodeTemplate have no
subject of their own; their files carry their owner and their name all the same.
"""

import argparse
import difflib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from shared.contracts.base import Message
from shared.contracts.subjects import SUBJECTS, Subject
from shared.contracts.v1.agent import AgentCommand
from shared.contracts.v1.policy import NodeTemplate, Policy

FOLDER = Path(__file__).parents[2] / "shared" / "contracts"
SCHEMAS = FOLDER / "schemas"
EXAMPLES = FOLDER / "examples"

EMBEDDED: Mapping[str, type[BaseModel]] = {
    "agent.command": AgentCommand,
    "policy": Policy,
    "node_template": NodeTemplate,
}
"""What people or bytes inside a message carry, so that no message's schema shows it whole."""


def snake(name: str) -> str:
    """Spell a class's name as a file's."""
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


def version_of(message: type[Message]) -> str:
    """Give the major version in a message's type, such as v1."""
    return message.type.split(".")[2]


def title_of(subject: Subject) -> str:
    """Give the name of a message's files."""
    return f"{subject.owner}.{subject.name}"


def reply_title(subject: Subject) -> str:
    """Give the name of the files of a request's answer."""
    assert subject.reply is not None
    return f"{subject.owner}.{snake(subject.reply.__name__)}"


def message_schema(subject: Subject) -> dict[str, object]:
    """Describe a message, with what the table knows about it."""
    schema = subject.message.model_json_schema(mode="validation")
    about: dict[str, object] = {
        "x-type": subject.message.type,
        "x-scope": subject.scope,
        "x-stream": subject.stream,
        "x-consumers": list(subject.consumers),
    }
    if subject.reply is not None:
        about["x-reply"] = reply_title(subject)
    return {**schema, **about}


def schemas() -> dict[str, dict[str, object]]:
    """Give every schema by its path below the folder of schemas."""
    found: dict[str, dict[str, object]] = {}
    for subject in SUBJECTS:
        version = version_of(subject.message)
        found[f"{version}/{title_of(subject)}.json"] = message_schema(subject)
        if subject.reply is not None:
            schema = subject.reply.model_json_schema(mode="validation")
            found[f"{version}/{reply_title(subject)}.json"] = schema
    for name, value in EMBEDDED.items():
        found[f"v1/{name}.json"] = value.model_json_schema(mode="validation")
    return found


def text_of(schema: Mapping[str, object]) -> str:
    """Spell a schema as it is committed: sorted, so that a diff shows changes only."""
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def differences(folder: Path) -> list[str]:
    """Give a plain diff from the committed files to what the classes say; empty: they are equal."""
    wanted = {path: text_of(schema) for path, schema in schemas().items()}
    present = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*.json")
    }
    lines: list[str] = []
    for path in sorted(wanted.keys() | present.keys()):
        before, after = present.get(path, ""), wanted.get(path, "")
        lines += difflib.unified_diff(
            before.splitlines(),
            after.splitlines(),
            f"committed/{path}" if before else "/dev/null",
            f"classes/{path}" if after else "/dev/null",
            lineterm="",
        )
    return lines


def write(folder: Path) -> None:
    """Bring the committed files up to date; remove those of messages that are gone."""
    wanted = schemas()
    for path in folder.rglob("*.json"):
        if path.relative_to(folder).as_posix() not in wanted:
            path.unlink()
    for name, schema in wanted.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text_of(schema), encoding="utf-8")


def main(argv: list[str]) -> int:
    """Write, or compare; 1: the committed files are out of date."""
    parser = argparse.ArgumentParser(prog="python -m deploy.tools.schemas", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 if anything differs")
    parser.add_argument("--folder", type=Path, default=SCHEMAS, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    lines = differences(options.folder)
    if not options.check:
        write(options.folder)
        print(f"{len(schemas())} schemas written." if lines else "The schemas are up to date.")  # noqa: T201
        return 0
    if lines:
        print("\n".join(lines))  # noqa: T201
        sys.stderr.write("The committed schemas are out of date: run `make schemas` and commit them.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
