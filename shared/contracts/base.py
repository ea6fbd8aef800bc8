"""What every message on the bus carries.

A released message class is never edited except to add an optional field. Anything else is a new class
in `contracts/v2/` on a new subject, published beside the old one until no consumer is left.
"""

from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from shared.kernel.clock import Clock
from shared.kernel.ids import Ids

Token = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""Safe as one NATS subject token."""

Version = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,100}$")]
"""What a program says that it is; no character that a database or a terminal stumbles over."""

Usd = Annotated[Decimal, Field(allow_inf_nan=False)]
"""Money, a JSON string on the wire."""

Ratio = Annotated[float, Field(ge=0, le=1)]
"""A share or a probability, never percent."""

GLOBAL = "global"
"""The scope of what concerns everybody."""


class Value(BaseModel):
    """A part of a message: frozen, and tolerant of fields a newer producer added."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        hide_input_in_errors=True,  # errors are logged and travel; inputs may be tokens and credentials
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )


class Message(Value):
    """Anything sent on the bus."""

    type: ClassVar[str]
    """`<owner>.<evt|cmd|rpc>.v<major>.<name>`; also the subject, before the scope."""

    id: UUID
    """UUIDv7. The same fact re-published keeps its id; it is sent as Nats-Msg-Id."""
    correlation_id: UUID
    """Constant along a chain of messages; bound into every log line."""
    causation_id: UUID | None = None
    """The id of the message that caused this one."""
    occurred_at: AwareDatetime
    """When it became true, in UTC; not when it was sent."""
    scope: Token
    """The subject's last token: a cluster, an organization, a region or `global`, as the table says."""

    @classmethod
    def make(
        cls, *, scope: str, clock: Clock, ids: Ids, cause: "Message | None" = None, **fields: Any
    ) -> Self:
        """Make a message now; with a `cause` it continues that message's chain."""
        own_id = ids.new()
        return cls(
            id=own_id,
            correlation_id=cause.correlation_id if cause else own_id,
            causation_id=cause.id if cause else None,
            occurred_at=clock.now(),
            scope=scope,
            **fields,
        )


class Event(Message):
    """A fact, in the past tense. Its owner is the producer."""


class Command(Message):
    """A wish, in the imperative. Its owner is the receiver."""


class Request(Message):
    """A question that waits for one answer. Its owner is the server."""


class Reply(Value):
    """The answer to a Request; it travels on the asker's inbox and needs no envelope."""
