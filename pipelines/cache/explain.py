"""Why the cache has a sample or has it not: by the stored request that is nearest to it.

A key tells nothing of itself; beside every answer is kept what was asked (`asked`). The nearest is
looked for among the requests about the same problem, else among the settings of other problems.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from butwait.pipelines.cache.asked import Asked, describe_request
from butwait.pipelines.cache.keys import completion_key
from butwait.pipelines.cache.store import DAY_S, Cache
from butwait.pipelines.cache.upkeep import read_settings, show_time
from butwait.schemas.sampling import ModelIdentity, SampleRequest

NOTES = {
    "revision": "other weights under this name",
    "engine": "how the model is served: adapter, flags, environment or context length",
    "seed": "derived from the recipe's seed, the question and the step",
    "prefix": "what was said before: it follows from the sample that is continued",
    "version": "another version of butwait made the keys",
}
"""What a field means where its name does not say it."""


@dataclass(frozen=True)
class Change:
    """One field in which what is asked now differs from what is stored."""

    field: str
    stored: Any
    now: Any

    def describe(self) -> str:
        """Say it in one line."""
        note = f" ({NOTES[self.field]})" if self.field in NOTES else ""
        return f"{self.field}: {_show(self.stored)} stored, {_show(self.now)} now{note}"


@dataclass(frozen=True)
class Finding:
    """What became of one sample."""

    sample: str
    """Its trajectory's id."""
    key: str
    is_hit: bool
    reason: str
    changes: tuple[Change, ...] = ()
    stored: str | None = None
    """When the answer, or the nearest request's last use, was noted."""
    model: str | None = None
    by: str | None = None
    """The engine that answered, with its version where known."""

    @property
    def record(self) -> dict[str, Any]:
        """As a mapping for JSON."""
        return asdict(self)


def explain_sample(
    cache: Cache, identity: ModelIdentity, name: str, request: SampleRequest, index: int
) -> Finding:
    """Find a sample in the cache, or what it differs in from the nearest request that is there.

    Args:
        cache: Only read.
        identity: Part of the key.
        name: The trajectory's id.
        request: Its seed is that of sample 0.
        index: 0-based.
    """
    key = completion_key(identity, request, index)
    query = (
        "SELECT c.stored, s.text FROM completions c LEFT JOIN requests r ON r.id = c.request "
        "LEFT JOIN settings s ON s.id = r.settings WHERE c.key = ?"
    )
    if found := cache.database.read(query, [key]):
        stored, text = found[0]
        by = json.loads(text)["by"] if text is not None else None
        return Finding(
            name, key, True, "in the cache", stored=show_time(stored), model=identity.id, by=by
        )
    return _explain_miss(cache, name, key, describe_request(identity, request, ""), request, index)


def _explain_miss(
    cache: Cache, name: str, key: str, now: Asked, request: SampleRequest, index: int
) -> Finding:
    settings = read_settings(cache)
    current = json.loads(now.settings)
    alike = {
        id_: found
        for id_, found in settings.items()
        if "rewards" not in found and found.get("search") == current.get("search")
    }
    rows = cache.database.read(
        "SELECT settings, asked, prefix, seed, n, used FROM requests WHERE question = ?",
        [now.question],
    )
    near = [
        (
            _compare_settings(alike[s], current, request) + _compare(rest, now, request),
            rest,
            alike[s],
        )
        for s, *rest in rows
        if s in alike
    ]
    if not near:
        return _explain_unknown(name, key, alike, current, request)
    changes, (*_, n, used), found = min(near, key=lambda one: (len(one[0]), -one[1][-1]))
    if not changes and index >= n:
        changes = [Change("sample index", f"0 to {n - 1}", index)]
    reason = "what is asked changed" if changes else (
        "the same was asked before: its answer was pruned, or failed (failures are not kept)"
    )  # fmt: skip
    day = datetime.fromtimestamp(used * DAY_S, UTC).date().isoformat()
    return Finding(name, key, False, reason, tuple(changes), day, found["model"], found["by"])


def _explain_unknown(
    name: str,
    key: str,
    settings: dict[int, dict[str, Any]],
    current: dict[str, Any],
    request: SampleRequest,
) -> Finding:
    """Explain a miss where nothing about the problem is stored."""
    reason = "nothing was ever asked about this problem"
    if not settings:
        return Finding(name, key, False, f"{reason}, nor about any other")
    compared = [(_compare_settings(s, current, request), s) for s in settings.values()]
    changes, found = min(
        compared, key=lambda one: (one[1]["model"] != current["model"], len(one[0]))
    )
    other = "other problems were asked about with "
    other += "other settings" if changes else "these very settings"
    return Finding(
        name, key, False, f"{reason}; {other}", tuple(changes), None, found["model"], found["by"]
    )


def _compare_settings(
    stored: dict[str, Any], current: dict[str, Any], request: SampleRequest
) -> list[Change]:
    changes = []
    for field in ("model", "revision", "engine", "version", "seeded", "tokens", "log_probs"):
        if stored.get(field) != current.get(field):
            changes.append(Change(field, stored.get(field), current.get(field)))
    before, after = stored["parameters"], current["parameters"]
    for field in sorted(before.keys() | after.keys()):
        if before.get(field) != after.get(field):
            changes.append(Change(field, before.get(field), after.get(field)))
    if stored.get("template") != current.get("template"):
        forms = {True: "a template of its own", False: "the model's chat template"}
        pair = (forms[bool(stored.get("template"))], forms[bool(current.get("template"))])
        changes.append(Change("template", *pair))
    if stored.get("system") != current.get("system"):
        texts = [m.content for m in request.messages or () if m.role == "system"]
        changes.append(_change_text("system prompt", stored.get("system"), "".join(texts)))
    return changes


def _compare(row: list[int], now: Asked, request: SampleRequest) -> list[Change]:
    asked, prefix, seed, _, _ = row
    changes = []
    if asked != now.user:
        users = [m.content for m in request.messages or () if m.role != "system"]
        text = request.prompt if request.prompt is not None else "\n".join(users)
        changes.append(_change_text("prompt", f"{asked:012x}", text))
    if prefix != now.prefix:
        stored = f"{prefix:012x}" if prefix else None
        changes.append(_change_text("prefix", stored, request.prefix))
    if seed != now.seed:
        changes.append(Change("seed", seed, now.seed))
    return changes


def _change_text(field: str, stored: str | None, text: str) -> Change:
    """Texts are stored as hashes alone; the present one can be shown."""
    return Change(field, f"a text with hash {stored}" if stored else None, text or None)


def _show(value: Any) -> str:
    text = "none" if value is None else str(value)
    text = " ".join(text.split())
    return text if len(text) <= 100 else f"{text[:97]}..."
