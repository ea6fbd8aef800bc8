"""AES-256-GCM with the row's id as associated data, and the key's fingerprint in front so that keys can rotate."""

import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.gateway.errors import SecretUnreadableError, SettingsError

FINGERPRINT_BYTES = 4
NONCE_BYTES = 12


class AesVault:
    """See ports.Vault."""

    def __init__(self, key_hex: str, *, previous_key_hex: str = "") -> None:
        key = _key(key_hex, setting="GATEWAY_SECRETS_KEY")
        self._newest = _fingerprint(key)
        self._ciphers = {self._newest: AESGCM(key)}
        if previous_key_hex:
            previous = _key(previous_key_hex, setting="GATEWAY_SECRETS_KEY_PREVIOUS")
            self._ciphers.setdefault(_fingerprint(previous), AESGCM(previous))

    def seal(self, secret: str, *, row_id: str) -> bytes:
        """See the port."""
        nonce = os.urandom(NONCE_BYTES)
        return (
            self._newest
            + nonce
            + self._ciphers[self._newest].encrypt(nonce, secret.encode(), row_id.encode())
        )

    def open(self, sealed: bytes, *, row_id: str) -> str:
        """See the port."""
        fingerprint, rest = sealed[:FINGERPRINT_BYTES], sealed[FINGERPRINT_BYTES:]
        cipher = self._ciphers.get(fingerprint)
        if cipher is None:
            raise SecretUnreadableError
        try:
            return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], row_id.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise SecretUnreadableError("A stored secret was changed, or is another row's.") from error


def _key(text: str, *, setting: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise SettingsError(f"{setting} must be set to 64 hex digits, such as `openssl rand -hex 32` gives.")
    return key


def _fingerprint(key: bytes) -> bytes:
    return hashlib.sha256(b"fingerprint" + key).digest()[:FINGERPRINT_BYTES]
