"""Rows that are not believed, and the closed list of reasons that logs, metrics and the quarantine share."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

LONGEST_ROW = 256
"""Characters kept of a row."""


class RefusalReason(StrEnum):
    """Why a row is not believed; the value is a label of a metric."""

    NOT_A_NUMBER = "price_is_not_a_number"
    NOT_POSITIVE = "price_is_not_positive"
    TOO_HIGH = "price_is_absurdly_high"
    IN_FUTURE = "dated_in_the_future"
    TOO_OLD = "older_than_history_is_kept"
    UNKNOWN_TYPE = "unknown_instance_type"
    UNKNOWN_ZONE = "unknown_zone"
    OTHER_REGION = "another_region"
    OTHER_CURRENCY = "another_currency"
    OTHER_UNIT = "another_unit"
    DUPLICATE = "duplicate"
    CONTRADICTED = "contradicted_by_another_row"
    MALFORMED = "malformed"
    SECOND_DOCUMENT = "second_document"


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """One row in words, cut to what a person needs to find it."""

    reason: RefusalReason
    row: str

    @classmethod
    def of(cls, reason: RefusalReason, row: str) -> "RefusedRow":
        """Cut the row, and leave out what Postgres' text cannot hold."""
        return cls(reason, row.replace("\x00", "")[:LONGEST_ROW])


def by_reason(rows: Iterable[RefusedRow]) -> Mapping[RefusalReason, int]:
    """Count rows by reason, the most frequent first, ties by name."""
    counts = Counter(row.reason for row in rows)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
