"""The error tree: one root, one type per boundary.

A message names the offending value, the reason and the way out; the command line prints it as one
line. ``ConfigError`` and ``SourceError`` are the user's to fix (exit code 2); the others are
failures (exit code 1).
"""

from __future__ import annotations


class ButwaitError(Exception):
    """Root of everything this project raises on purpose."""

    exit_code = 1


class ConfigError(ButwaitError):
    """A recipe, flag or environment variable that cannot be used."""

    exit_code = 2


class SourceError(ButwaitError):
    """A question source that is missing, unreadable or has other columns than named."""

    exit_code = 2


class SamplerError(ButwaitError):
    """A server or engine that does not start, does not answer or refuses a request."""


class RequestRefused(SamplerError):
    """One request that cannot be answered, while the engine goes on with others.

    Args:
        reason: Short machine name, e.g. ``context_overflow``; becomes the dead letter's reason.
        detail: What was seen.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[RequestRefused], tuple[str, str]]:
        """Pickle by arguments: exceptions would pickle the joined message as the reason."""
        return type(self), (self.reason, self.detail)


class VerifierError(ButwaitError):
    """A verifier worker pool that cannot run."""


class TrainerError(ButwaitError):
    """A training run that cannot go on; the last whole checkpoint is kept."""


class SchemaError(ButwaitError):
    """A record that breaks its invariants.

    Args:
        reason: Short machine name of the broken invariant, e.g. ``unbalanced_markers``; becomes
            the reason on the dead letter.
        detail: What was seen and what would have been right.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[SchemaError], tuple[str, str]]:
        """Pickle by arguments: exceptions would pickle the joined message as the reason."""
        return type(self), (self.reason, self.detail)


class HubError(ButwaitError):
    """A Hub that refuses, or a published dataset that does not read back equal."""
