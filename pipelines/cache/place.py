"""Where a cache is: a file, or a PostgreSQL database by its address."""

from __future__ import annotations

from pathlib import Path

from butwait.pipelines.cache.passwords import hide_password
from butwait.pipelines.cache.sqlite import SqliteDatabase
from butwait.pipelines.cache.store import Cache
from butwait.schemas.errors import ConfigError

Place = str | Path
"""A file's path, or ``postgresql://user@host/database``."""
SCHEMES = ("postgresql://", "postgres://")


def read_place(text: str) -> Place:
    """Read what a person wrote after ``--cache`` or in BUTWAIT_CACHE.

    >>> read_place("cache.sqlite").name
    'cache.sqlite'
    >>> read_place("postgresql://me@db/cache")
    'postgresql://me@db/cache'

    Raises:
        ConfigError: An address of something else.
    """
    if text.startswith(SCHEMES):
        return text
    if "://" in text:
        raise ConfigError(
            f"cache {hide_password(text)!r}: write a file's path, or postgresql://user@host/database"
        )
    return Path(text).expanduser()


def open_cache(place: Place) -> Cache:
    """Open a cache, made where it is missing; each process opens its own.

    Raises:
        ConfigError: It cannot be reached or written.
    """
    if isinstance(place, str) and place.startswith(SCHEMES):
        from butwait.pipelines.cache.postgres import PostgresDatabase

        return Cache(PostgresDatabase(place))
    return Cache(SqliteDatabase(Path(place)))


def open_existing(place: Place) -> Cache:
    """Open a cache that is there, to look into it.

    Raises:
        ConfigError: There is none, or it cannot be reached.
    """
    is_address = isinstance(place, str) and place.startswith(SCHEMES)
    if not is_address and not Path(place).is_file():
        raise ConfigError(f"there is no completion cache at {place}; name one with --cache")
    return open_cache(place)
