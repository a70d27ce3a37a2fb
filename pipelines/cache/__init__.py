"""The cache: a finished sample is never sampled twice, a scored prefix never scored twice.

It lies outside every run folder and is shared by all runs: of a machine in a SQLite file, of many
machines in a PostgreSQL database. The key is everything that can change the output; errors are
never stored.
"""

from butwait.pipelines.cache.asked import Asked, describe_request, describe_score
from butwait.pipelines.cache.interface import CompletionCache, ScoreCache
from butwait.pipelines.cache.keys import completion_key, completion_keys, hash_shape
from butwait.pipelines.cache.place import Place, open_cache, read_place
from butwait.pipelines.cache.store import Cache

__all__ = [
    "Asked",
    "Cache",
    "CompletionCache",
    "Place",
    "ScoreCache",
    "completion_key",
    "completion_keys",
    "describe_request",
    "describe_score",
    "hash_shape",
    "open_cache",
    "read_place",
]
