"""EC2's wire format: a form in, XML out."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

EC2_NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"

Node = str | Mapping[str, "Node"] | Sequence["Node"] | None
"""An XML element's content: text, children by name, or a list written as `item` elements."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the caller."""

    status: int
    body: bytes
    content_type: str = "text/xml;charset=UTF-8"


@dataclass(frozen=True, slots=True)
class Form:
    """A request's parameters, in wire names such as `TagSpecification.1.Tag.1.Key`."""

    values: Mapping[str, str]

    @classmethod
    def parse(cls, body: bytes) -> "Form":
        """Read a form-encoded body."""
        return cls(dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)))

    def encode(self) -> bytes:
        """Write it as a body."""
        return urlencode(self.values).encode()

    def get(self, name: str, default: str = "") -> str:
        """Give one value."""
        return self.values.get(name, default)

    def integer(self, name: str, default: int) -> int:
        """Give one number; `default` when it is missing or none."""
        text = self.values.get(name, "")
        return int(text) if re.fullmatch(r"-?\d+", text) else default

    def under(self, prefix: str) -> "Form":
        """Give what stands under `prefix.`, without it."""
        start = f"{prefix}."
        return Form({k.removeprefix(start): v for k, v in self.values.items() if k.startswith(start)})

    def items(self, prefix: str) -> list["Form"]:
        """Give the structures of a list, in order."""
        below = self.under(prefix)
        numbers = sorted({int(k.split(".")[0]) for k in below.values if k.split(".")[0].isdigit()})
        return [below.under(str(number)) for number in numbers]

    def texts(self, prefix: str) -> list[str]:
        """Give the strings of a list, in order."""
        below = self.under(prefix).values
        return [below[key] for key in sorted((k for k in below if k.isdigit()), key=int)]

    def filters(self) -> dict[str, list[str]]:
        """Give `Filter.N.Name` and its values."""
        return {f.get("Name"): f.texts("Value") for f in self.items("Filter")}

    def replacing(self, values: Mapping[str, str], *, without: Iterable[str] = ()) -> "Form":
        """Copy with other values; `without` are prefixes to leave out."""
        dropped = tuple(without)
        kept = {
            k: v
            for k, v in self.values.items()
            if k not in dropped and not k.startswith(tuple(f"{d}." for d in dropped))
        }
        return Form({**kept, **values})


def tags_of(form: Form, resource_type: str) -> dict[str, str]:
    """Give the tags that TagSpecification asks for on resources of a type."""
    return {
        tag.get("Key"): tag.get("Value")
        for specification in form.items("TagSpecification")
        if specification.get("ResourceType") == resource_type
        for tag in specification.items("Tag")
    }


def xml_answer(action: str, content: Mapping[str, Node], *, request_id: str) -> Answer:
    """Write a successful EC2 answer."""
    inner = _children({"requestId": request_id, **content})
    return Answer(200, f'<{action}Response xmlns="{EC2_NAMESPACE}">{inner}</{action}Response>'.encode())


def ec2_error(code: str, message: str, *, status: int, request_id: str) -> Answer:
    """Write an error as EC2 does."""
    inner = _children({"Code": code, "Message": message})
    text = f"<Response><Errors><Error>{inner}</Error></Errors><RequestID>{request_id}</RequestID></Response>"
    return Answer(status, text.encode())


def query_error(code: str, message: str, *, status: int, request_id: str) -> Answer:
    """Write an error as STS, IAM and Auto Scaling do."""
    inner = _children({"Type": "Sender" if status < 500 else "Receiver", "Code": code, "Message": message})
    text = f"<ErrorResponse><Error>{inner}</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    return Answer(status, text.encode())


def error_in(body: bytes) -> tuple[str, str] | None:
    """Give an EC2 error answer's code and message, or None when it is none."""
    root = ET.fromstring(body)
    error = next((e for e in root.iter() if _local(e) == "Error"), None)
    if error is None:
        return None
    fields = {_local(child): child.text or "" for child in error}
    return fields.get("Code", ""), fields.get("Message", "")


def without_instances(body: bytes, keep: Mapping[str, Sequence[str]]) -> bytes:
    """Drop the instances of a DescribeInstances answer that do not match `keep` (element name to values)."""
    ET.register_namespace("", EC2_NAMESPACE)
    root = ET.fromstring(body)
    for reservations in (e for e in root.iter() if _local(e) == "reservationSet"):
        for reservation in list(reservations):
            instances = next((e for e in reservation if _local(e) == "instancesSet"), None)
            for instance in list(instances) if instances is not None else []:
                fields = {_local(e): e.text or "" for e in instance}
                if instances is not None and any(fields.get(n, "") not in v for n, v in keep.items()):
                    instances.remove(instance)
            if instances is None or len(instances) == 0:
                reservations.remove(reservation)
    return bytes(ET.tostring(root, encoding="utf-8"))


def launched_instances(body: bytes) -> list[dict[str, str]]:
    """Give the simple fields of each instance in a RunInstances answer."""
    root = ET.fromstring(body)
    return [
        {_local(e): e.text or "" for e in item}
        for instances in root.iter()
        if _local(instances) == "instancesSet"
        for item in instances
    ]


def _children(content: Mapping[str, Node]) -> str:
    return "".join(f"<{name}>{_text(value)}</{name}>" for name, value in content.items() if value is not None)


def _text(value: Node) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, Mapping):
        return _children(value)
    return "".join(f"<item>{_text(item)}</item>" for item in value)


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
