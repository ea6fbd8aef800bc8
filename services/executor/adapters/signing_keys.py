"""The Ed25519 key that signs commands to agents; sealed at rest, made once for all replicas."""

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.executor.errors import SecretsKeyError
from shared.contracts.v1.gateway import SigningKey
from shared.kernel.clock import Clock
from shared.runtime.postgres import Connection, Database

NONCE_BYTES = 12
KEY_ID_LENGTH = 16


def secrets_key(text: str) -> bytes:
    """Read the setting.

    Raises:
        SecretsKeyError: it is not 64 hexadecimal digits.
    """
    try:
        key = bytes.fromhex(text)
    except ValueError as error:
        raise SecretsKeyError from error
    if len(key) != 32:
        raise SecretsKeyError
    return key


class StoredSigningKeys:
    """The newest key signs; agents trust every stored one. See ports.SigningKeys."""

    def __init__(self, database: Database, *, sealing_key: bytes, clock: Clock) -> None:
        self._database = database
        self._cipher = AESGCM(sealing_key)
        self._clock = clock
        self._current: tuple[str, Ed25519PrivateKey] | None = None

    async def ensure(self) -> None:
        """Load the newest key, making the first one.

        Raises:
            SecretsKeyError: the stored key was sealed with another secrets key.
        """
        async with self._database.transaction() as transaction:
            connection = transaction.connection
            # Replicas that start together must not each make one.
            await connection.execute("select pg_advisory_xact_lock(hashtext('executor:signing_keys'))")
            row = await connection.fetchrow("select * from signing_keys order by made_at desc limit 1")
            if row is None:
                self._current = await self._make(connection)
                return
            self._current = row["key_id"], self._open(row["key_id"], row["sealed_private_key"])

    async def public_keys(self) -> Sequence[SigningKey]:
        """See the port."""
        async with self._database.transaction() as transaction:
            rows = await transaction.connection.fetch(
                "select key_id, public_key from signing_keys order by made_at desc limit 2"
            )
        return [
            SigningKey(key_id=row["key_id"], public_key_hex=bytes(row["public_key"]).hex()) for row in rows
        ]

    def sign(self, body: bytes) -> tuple[str, bytes]:
        """Give the key id and the signature of a body."""
        if self._current is None:
            raise SecretsKeyError("the signing key was not loaded")
        key_id, key = self._current
        return key_id, key.sign(body)

    async def _make(self, connection: Connection) -> tuple[str, Ed25519PrivateKey]:
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes_raw()
        key_id = public.hex()[:KEY_ID_LENGTH]
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, key.private_bytes_raw(), key_id.encode())
        await connection.execute(
            "insert into signing_keys (key_id, public_key, sealed_private_key, made_at) values ($1, $2, $3, $4)",
            key_id,
            public,
            sealed,
            self._clock.now(),
        )
        return key_id, key

    def _open(self, key_id: str, sealed: bytes) -> Ed25519PrivateKey:
        try:
            raw = self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], key_id.encode())
        except InvalidTag as error:
            raise SecretsKeyError from error
        return Ed25519PrivateKey.from_private_bytes(raw)
