"""Secrets for MCP servers: kept in the platform's keychain, asked for in a window of their own, and used
with a person's leave.

    from mcp_secrets import secrets_manager
    from mcp_secrets.fetcher import fetch_secrets

    secrets_manager.initialize("My Server")
"""

from __future__ import annotations

import atexit

from . import _core
from ._core import Secret
from ._manager import MCPSecretsManager, secrets_manager
from .decorator import needs_secrets
from .errors import (
    InvalidInput,
    KeychainAbsent,
    KeychainError,
    KeychainLocked,
    KeychainRefused,
    NotInitialized,
    PermissionDenied,
    SecretsError,
    SecretsMissing,
    StorageError,
    WindowClosed,
    WindowError,
    WindowTimeout,
    WindowUnavailable,
)
from .handler import AsyncUIHandler
from .storage import MCPSecretsStorage

__all__ = [
    "AsyncUIHandler",
    "InvalidInput",
    "KeychainAbsent",
    "KeychainError",
    "KeychainLocked",
    "KeychainRefused",
    "MCPSecretsManager",
    "MCPSecretsStorage",
    "NotInitialized",
    "PermissionDenied",
    "Secret",
    "SecretsError",
    "SecretsMissing",
    "StorageError",
    "WindowClosed",
    "WindowError",
    "WindowTimeout",
    "WindowUnavailable",
    "needs_secrets",
    "secrets_manager",
]

# Windows that are open close with the interpreter.
atexit.register(_core.shutdown)
