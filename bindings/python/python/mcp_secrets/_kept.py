"""What a manager and a storage have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._core import Manager, Secret, Storage


class Kept:
    """The secrets that are kept of one server."""

    _core: Manager | Storage

    def store_secret(self, name: str, value: str | Secret) -> None:
        """Stores `value` under `name`, in the place of what was there."""
        self._core.store_secret(name, value)

    def retrieve_secret(self, name: str) -> str | None:
        """The value of `name`; None where there is none. Nobody is asked."""
        return self._core.retrieve_secret(name)

    def list_secrets(self) -> list[str]:
        """The names of the secrets that are there, sorted."""
        return self._core.list_secrets()

    def clear_secrets(self) -> int:
        """Removes every secret of this server; says how many there were."""
        return self._core.clear_secrets()

    def delete_secret(self, name: str) -> bool:
        """Removes the secret `name`; says whether it was there."""
        return self._core.delete_secret(name)

    def secret_exists(self, name: str) -> bool:
        """Whether there is a secret `name`."""
        return self._core.secret_exists(name)
