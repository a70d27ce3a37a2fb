"""Question sources: the Hub and local files, read as small pieces in bounded memory."""

from butwait.pipelines.sources.read import (
    ResolvedSource,
    SourcePiece,
    plan_pieces,
    read_piece,
    read_raw,
    resolve_source,
)

__all__ = [
    "ResolvedSource",
    "SourcePiece",
    "plan_pieces",
    "read_piece",
    "read_raw",
    "resolve_source",
]
