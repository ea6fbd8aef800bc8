"""Names that follow from content, so that a repeated call is recognised as the same one."""

import hashlib
from uuid import UUID, uuid5

CLIENT_TOKEN_LENGTH = 64
"""What EC2 accepts."""


def client_token(step_id: UUID, attempt: int) -> str:
    """Give EC2's ClientToken of one attempt of one step."""
    return hashlib.sha256(f"{step_id}:{attempt}".encode()).hexdigest()[:CLIENT_TOKEN_LENGTH]


def uncordon_id(step_id: UUID) -> UUID:
    """Give the id of the command that undoes a CORDON; the step's own id is the cordon's."""
    return uuid5(step_id, "uncordon")
