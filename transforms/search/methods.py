"""From a recipe's search section to the method that it names."""

from __future__ import annotations

from typing import Any

from butwait.schemas.recipe_search import Beam, Dvts, SearchSpec, WholeSpec
from butwait.transforms.particle.filter import FilterSearch
from butwait.transforms.search.beam import beam_search, dvts
from butwait.transforms.search.protocol import Search
from butwait.transforms.search.whole import WholeSearch


def make_search(spec: SearchSpec) -> Search[Any]:
    """Return the method of a search section."""
    match spec:
        case Beam():
            return beam_search(spec)
        case Dvts():
            return dvts(spec)
        case _ if isinstance(spec, WholeSpec):
            return WholeSearch(spec)
        case _:
            return FilterSearch(spec)
