"""Where the credential is kept: a file nobody else can read, or a Kubernetes Secret."""

import base64
import binascii
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.adapters.kube_client import KubeClient
from agent.errors import KubernetesRefusedError, MisconfiguredError
from agent.ports import Credential

FILE_NAME = "credential.json"


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; it is 0600 from its first byte on.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


class FileCredentialStore:
    """See agent.ports.CredentialStore."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE_NAME

    async def load(self) -> Credential | None:
        """Return it, or None before enrolment.

        Raises:
            MisconfiguredError: the file is there and cannot be read.
        """
        try:
            text = self._path.read_text()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise MisconfiguredError(f"{self._path}: {error.strerror}") from error
        try:
            return _from_fields(json.loads(text))
        except ValueError as error:
            raise MisconfiguredError(f"{self._path} is no credential: remove it to enrol anew") from error

    async def save(self, credential: Credential) -> None:
        """Keep it, readable for nobody else."""
        try:
            write_private(self._path, json.dumps(_to_fields(credential)))
        except OSError as error:
            raise MisconfiguredError(f"{self._path}: {error.strerror}") from error


class SecretCredentialStore:
    """See agent.ports.CredentialStore."""

    def __init__(self, client: KubeClient, *, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name

    async def load(self) -> Credential | None:
        """Return it, or None before enrolment."""
        secret = await self._client.find(f"/api/v1/namespaces/{self._namespace}/secrets/{self._name}")
        data = (secret or {}).get("data") or {}
        if FILE_NAME not in data:
            return None
        try:
            return _from_fields(json.loads(base64.b64decode(data[FILE_NAME])))
        except (ValueError, binascii.Error) as error:
            raise MisconfiguredError(
                f"Secret {self._namespace}/{self._name} holds no credential: remove it to enrol anew"
            ) from error

    async def save(self, credential: Credential) -> None:
        """Keep it, readable for whoever may read Secrets in the namespace."""
        text = json.dumps(_to_fields(credential)).encode()
        data = {FILE_NAME: base64.b64encode(text).decode()}
        path = f"/api/v1/namespaces/{self._namespace}/secrets"
        try:
            await self._client.patch(f"{path}/{self._name}", {"data": data})
        except KubernetesRefusedError as error:
            if error.status != 404:
                raise
            metadata = {"name": self._name, "namespace": self._namespace}
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
            await self._client.post(path, secret)


def _to_fields(credential: Credential) -> dict[str, Any]:
    keys = {key_id: key.hex() for key_id, key in credential.signing_keys.items()}
    return {"cluster_id": credential.cluster_id, "token": credential.token, "signing_keys": keys}


def _from_fields(fields: Any) -> Credential:
    if not isinstance(fields, Mapping):
        raise ValueError("no object")
    try:
        keys = {str(key_id): bytes.fromhex(key) for key_id, key in fields["signing_keys"].items()}
        return Credential(str(fields["cluster_id"]), str(fields["token"]), keys)
    except (KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"a field is missing or wrong: {error}") from error
