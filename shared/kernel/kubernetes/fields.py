"""Reading JSON of unknown quality: whatever is wrong, the error names the object and the field.

A missing field and an explicit null mean the same, as they do to the API server.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.kernel.kubernetes.errors import KubernetesObjectError

NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object, read field by field."""

    owner: str
    """Whose it is, for error sentences: "pod shop/cart-0"."""
    value: Mapping[str, Any]
    path: str = ""
    """Where it stands within its owner: "spec.affinity."."""

    def error(self, name: str, problem: str) -> KubernetesObjectError:
        """Give the error for one field."""
        return KubernetesObjectError(f"{self.owner}: {self.path}{name} {problem}")

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self.value.get(name) is not None

    def text(self, name: str, default: str = "") -> str:
        """Give a string."""
        value = self.value.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.error(name, "is not a string")
        return value

    def maybe_text(self, name: str) -> str | None:
        """Give a string, or None when it is missing or empty."""
        return self.text(name) or None

    def amount_text(self, name: str) -> str | None:
        """Give what may be written as a number or as a string (a quantity, a percentage)."""
        value = self.value.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.error(name, "is neither a number nor a string")
        return str(value)

    def integer(self, name: str, default: int = 0) -> int:
        """Give a whole number."""
        value = self.value.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(name, "is not a whole number")
        return value

    def maybe_integer(self, name: str) -> int | None:
        """Give a whole number, or None when it is missing."""
        return self.integer(name) if self.has(name) else None

    def flag(self, name: str) -> bool:
        """Give a boolean; a missing one is false."""
        value = self.value.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self.error(name, "is neither true nor false")
        return value

    def instant(self, name: str) -> datetime | None:
        """Give an aware instant in UTC."""
        text = self.text(name)
        if not text:
            return None
        try:
            at = datetime.fromisoformat(text)
        except ValueError as error:
            raise self.error(name, f'"{text[:40]}" is not a time') from error
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)

    def child(self, name: str) -> "Fields":
        """Give a nested object; an empty one when it is missing."""
        value = self.value.get(name)
        if value is None:
            value = NOTHING
        elif not isinstance(value, Mapping):
            raise self.error(name, "is not an object")
        return Fields(self.owner, value, f"{self.path}{name}.")

    def maybe_child(self, name: str) -> "Fields | None":
        """Give a nested object, or None when it is missing."""
        return self.child(name) if self.has(name) else None

    def children(self, name: str) -> Iterator["Fields"]:
        """Give the objects of a list."""
        for index, item in enumerate(self._list(name)):
            if not isinstance(item, Mapping):
                raise self.error(f"{name}[{index}]", "is not an object")
            yield Fields(self.owner, item, f"{self.path}{name}[{index}].")

    def texts(self, name: str) -> tuple[str, ...]:
        """Give the strings of a list."""
        items = self._list(name)
        if not all(isinstance(item, str) for item in items):
            raise self.error(name, "is not a list of strings")
        return tuple(items)

    def strings(self, name: str) -> dict[str, str]:
        """Give a mapping of strings, such as labels; an empty value may be written as null."""
        value = self.child(name).value
        if not all(isinstance(v, str | None) and isinstance(k, str) for k, v in value.items()):
            raise self.error(name, "is not a mapping of strings")
        return {key: text or "" for key, text in value.items()}

    def _list(self, name: str) -> list[Any]:
        value = self.value.get(name)
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            raise self.error(name, "is not a list")
        return list(value)


def named(kind: str, obj: Mapping[str, Any], *, namespaced: bool = True) -> tuple[Fields, str, str]:
    """Give an object's fields, namespace and name; every error will name it.

    Raises:
        KubernetesObjectError: it is no object or has no name.
    """
    if not isinstance(obj, Mapping):
        raise KubernetesObjectError(f"{kind}: is not an object")
    metadata = Fields(kind, obj).child("metadata")
    name = metadata.text("name")
    if not name:
        raise metadata.error("name", "is missing")
    namespace = (metadata.text("namespace") or "default") if namespaced else ""
    return Fields(f"{kind} {namespace}/{name}" if namespaced else f"{kind} {name}", obj), namespace, name
