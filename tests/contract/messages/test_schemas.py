"""The committed schemas are the classes', and a diff of them names whom it breaks."""

import copy
from pathlib import Path
from typing import Any

import pytest

from deploy.tools import schema_changes, schemas

NOW = schemas.schemas()
FLAGGED = "v1/pricing.pool_flagged.json"
PROPOSED = "v1/optimizer.plan_proposed.json"
QUOTES = "v1/pricing.offering_quotes.json"


def edited(name: str) -> tuple[dict[str, dict[str, object]], Any]:
    after = copy.deepcopy(NOW)
    return after, after[name]


def test_the_committed_schemas_are_current() -> None:
    assert "\n".join(schemas.differences(schemas.SCHEMAS)) == "", "run `make schemas` and commit"


def test_a_difference_is_shown_and_writing_removes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--folder", str(tmp_path)]
    assert schemas.main(where) == 0
    assert schemas.main(["--check", *where]) == 0
    (tmp_path / FLAGGED).write_text((tmp_path / FLAGGED).read_text().replace('"reason"', '"motive"'))
    (tmp_path / "v1/pricing.forgotten.json").write_text("{}\n")
    capsys.readouterr()
    assert schemas.main(["--check", *where]) == 1
    said = capsys.readouterr()
    assert '-    "motive"' in said.out
    assert "v1/pricing.forgotten.json" in said.out
    assert "make schemas" in said.err
    assert schemas.main(where) == 0
    assert schemas.main(["--check", *where]) == 0


def test_equal_schemas_break_nobody() -> None:
    assert schema_changes.breaking(NOW, NOW) == []


def test_a_new_optional_field_breaks_nobody() -> None:
    after, flagged = edited(FLAGGED)
    flagged["properties"]["severity"] = {"type": "integer", "default": 0}
    assert schema_changes.breaking(NOW, after) == []


def test_words_about_a_field_break_nobody() -> None:
    after, flagged = edited(FLAGGED)
    flagged["description"] = "Other words."
    flagged["properties"]["expires_at"]["title"] = "Until"
    assert schema_changes.breaking(NOW, after) == []


def test_a_removed_field_breaks_its_consumers() -> None:
    after, flagged = edited(FLAGGED)
    del flagged["properties"]["expires_at"]
    flagged["required"].remove("expires_at")
    [change] = schema_changes.breaking(NOW, after)
    assert (change.field, change.what, change.consumers) == (
        "expires_at",
        "was removed",
        ("executor", "pricing"),
    )


def test_a_new_required_field_breaks_whoever_reads_old_messages() -> None:
    after, flagged = edited(FLAGGED)
    flagged["properties"]["severity"] = {"type": "integer"}
    flagged["required"].append("severity")
    [change] = schema_changes.breaking(NOW, after)
    assert (change.field, change.what) == ("severity", "is new and required")


def test_a_new_member_of_an_enumeration_breaks_consumers() -> None:
    after, flagged = edited(FLAGGED)
    flagged["$defs"]["FlagReason"]["enum"].append("rumour")
    [change] = schema_changes.breaking(NOW, after)
    assert (change.field, change.what) == ("reason", "has a new member 'rumour'")


def test_a_changed_type_deep_inside_is_found_by_its_path() -> None:
    after, proposed = edited(PROPOSED)
    proposed["$defs"]["Move"]["properties"]["disruption_pods"]["type"] = "string"
    found = schema_changes.breaking(NOW, after)
    assert {c.field for c in found} == {"plan.moves[].disruption_pods"}
    assert {"is no integer any more", "may now be string"} == {c.what for c in found}
    assert found[0].consumers == ("gateway", "executor", "reporting")


def test_a_reply_is_read_by_those_who_ask() -> None:
    after, quotes = edited(QUOTES)
    del quotes["properties"]["region"]
    assert schema_changes.breaking(NOW, after)[0].consumers == ("optimizer", "executor")


def test_a_removed_message_breaks_its_consumers() -> None:
    after = {name: schema for name, schema in NOW.items() if name != FLAGGED}
    [change] = schema_changes.breaking(NOW, after)
    assert str(change) == f"{FLAGGED}: the message was removed; breaks executor, pricing"


def test_what_is_no_version_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert schema_changes.main(["no-such-revision", str(tmp_path)]) == 2
    assert "neither a folder nor a git revision" in capsys.readouterr().err


def test_two_folders_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    schemas.write(before)
    schemas.write(after)
    assert schema_changes.main([str(before), str(after)]) == 0
    (after / FLAGGED).unlink()
    assert schema_changes.main([str(before), str(after)]) == 1
    assert "breaks executor" in capsys.readouterr().out
