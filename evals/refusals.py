"""What must not stand in one table, each with its reason and the way out."""

from __future__ import annotations

from butwait.evals.cells import ArmCells
from butwait.schemas.errors import ConfigError
from butwait.schemas.eval_run import ArmRecord


def refuse_incomplete(found: list[tuple[str, ArmCells]]) -> None:
    """Refuse arms with missing cells, and models that said nothing.

    Raises:
        ConfigError: With the reason and the way out.
    """
    for run, cells in found:
        record = cells.record
        if cells.n_missing:
            raise ConfigError(
                f"{run}: {record.model} on {record.benchmark} ({record.prompt}, {record.method}) "
                f"is incomplete: {cells.n_missing} of {cells.outcomes.size} cells are missing; run "
                "`butwait eval` on its recipe again, which asks for those only"
            )
        if cells.is_silent:
            raise ConfigError(
                f"{run}: {record.model} on {record.benchmark} returned nothing: all "
                f"{cells.outcomes.size} texts are empty; look at the server and the chat template"
            )


def refuse_twice(found: list[tuple[str, ArmCells]]) -> None:
    """Refuse two arms of one name.

    Raises:
        ConfigError: With the reason and the way out.
    """
    seen: dict[tuple[str, ...], str] = {}
    for run, cells in found:
        r = cells.record
        key = (r.benchmark, r.model, r.prompt, r.method)
        if key in seen:
            raise ConfigError(
                f"{r.model} on {r.benchmark} ({r.prompt}, {r.method}) stands in {seen[key]} and in "
                f"{run}; give the models different names, or name one run"
            )
        seen[key] = run


def refuse_other_problems(members: list[tuple[str, ArmCells]]) -> None:
    """Refuse arms of one benchmark over different problems.

    Raises:
        ConfigError: With the reason and the way out.
    """
    run, first = members[0]
    for other, cells in members[1:]:
        if cells.problems != first.problems:
            n_shared = len(set(cells.problems) & set(first.problems))
            raise ConfigError(
                f"{first.record.benchmark}: {other} has {len(cells.problems)} problems and {run} "
                f"{len(first.problems)}, of which {n_shared} are the same: another denominator; "
                "evaluate both on the same problems"
            )


def refuse_other_parameters(record: ArmRecord, base: ArmRecord) -> None:
    """Refuse an arm that was sampled in another way than its base.

    Raises:
        ConfigError: With the reason and the way out.
    """
    if record.parameters != base.parameters:
        raise ConfigError(
            f"{record.benchmark}: {record.model} was sampled with {record.parameters}, the base "
            f"{base.model} with {base.parameters}; a difference would be that of both"
        )
