"""argon2id in a thread: it takes some 50 ms and 64 MiB on purpose, so few run at a time."""

import asyncio

import argon2

CONCURRENT_HASHES = 2


class Argon2Passwords:
    """See ports.Passwords."""

    def __init__(self, hasher: argon2.PasswordHasher | None = None) -> None:
        self._hasher = hasher or argon2.PasswordHasher()
        self._slots = asyncio.Semaphore(CONCURRENT_HASHES)
        # What an unknown address is compared with, so that the time taken does not tell it from a known one.
        self._nobodys_hash = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """See the port."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def is_match(self, password: str, password_hash: str | None) -> bool:
        """See the port."""
        async with self._slots:
            try:
                await asyncio.to_thread(self._hasher.verify, password_hash or self._nobodys_hash, password)
            except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
                return False
        return password_hash is not None
