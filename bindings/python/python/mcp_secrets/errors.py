"""What can go wrong. Every exception has a `code` that stays; none has a value in it."""

from __future__ import annotations


class SecretsError(Exception):
    """The root of all of them."""

    #: The stable name of what went wrong, for programs.
    code: str

    def __init__(self, message: str, code: str = "failed") -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[SecretsError], tuple[str, str]]:
        return type(self), (str(self), self.code)


class NotInitialized(SecretsError):
    """`initialize` has not been called."""


class InvalidInput(SecretsError, ValueError):
    """A name, a value or a description that cannot be taken."""


class PermissionDenied(SecretsError):
    """A person said no, or nobody could be asked."""


class SecretsMissing(SecretsError):
    """Secrets that a tool needs are not stored, and were not given."""


class StorageError(SecretsError):
    """What is stored cannot be used, or nothing can be stored."""


class KeychainError(StorageError):
    """The platform's keychain."""


class KeychainLocked(KeychainError):
    """A person must unlock it first."""


class KeychainAbsent(KeychainError):
    """There is none."""


class KeychainRefused(KeychainError):
    """It refused."""


class WindowError(SecretsError):
    """The window that asks."""


class WindowUnavailable(WindowError):
    """It cannot be shown."""


class WindowTimeout(WindowError):
    """Nobody answered in time."""


class WindowClosed(WindowError):
    """A person closed it."""


_CLASSES: dict[str, type[SecretsError]] = {
    "not_initialized": NotInitialized,
    "invalid_server_name": InvalidInput,
    "invalid_name": InvalidInput,
    "reserved_name": InvalidInput,
    "empty_value": InvalidInput,
    "value_too_large": InvalidInput,
    "not_text": InvalidInput,
    "invalid_secrets_info": InvalidInput,
    "permission_denied": PermissionDenied,
    "keychain_locked": KeychainLocked,
    "keychain_absent": KeychainAbsent,
    "keychain_refused": KeychainRefused,
    "keychain_timeout": KeychainError,
    "keychain_failed": KeychainError,
    "no_home": StorageError,
    "storage_busy": StorageError,
    "storage_file": StorageError,
    "storage_damaged": StorageError,
    "window_unavailable": WindowUnavailable,
    "unanswered": WindowTimeout,
    "window_closed": WindowClosed,
}


def _of(code: str, message: str) -> SecretsError:
    """The exception of an error of the native half."""
    return _CLASSES.get(code, SecretsError)(message, code)
