"""The ledger: every question, sample and trace in exactly one named bin, totals added up."""

from __future__ import annotations

from pydantic import Field

from butwait.schemas.errors import ButwaitError
from butwait.schemas.record import Record


class LedgerError(ButwaitError):
    """Totals that do not add up: a defect of the program, never of the data."""


class Account(Record):
    """One total and the bins that must add up to it."""

    total: int = Field(ge=0)
    bins: dict[str, int]

    @property
    def balance(self) -> int:
        """Items in no bin (positive) or in two (negative); 0 in a true ledger."""
        return self.total - sum(self.bins.values())


class Ledger(Record):
    """All accounts of a build."""

    questions: Account
    """Rows read from the sources; bins are the final fate of each."""
    samples: Account
    """Fresh samples requested; bins are verdicts and ``failed``."""
    continuations: Account
    """"But wait," continuations that the samples call for, told anew from the seeds; same bins."""
    searches: Account | None = None
    """Searches, one a question; bins are ``solved`` (answered right), ``answered`` (otherwise),
    ``no_answer`` (solutions without one) and the reasons for having found no solution."""
    leaves: Account | None = None
    """Solutions begun by searches, by node at which they ended; bins are the verdicts of finished
    ones and the fates of the others."""
    rows: dict[str, Account]
    """By configuration: rows made; bins are ``written`` and the reasons of refusal."""
    flows: dict[str, dict[str, int]]
    """By configuration that continues thoughts: first→final verdicts of all finished chains, those
    that end wrong included. A statistic, not an account: refused texts have no flow."""
    considered: dict[str, Account]
    """By configuration: questions offered; bins are ``made_rows`` and reasons for making none."""
    notes: dict[str, str] = Field(default_factory=dict)
    """Which benchmarks the questions were compared with (``contaminated`` counts the copies), and
    which they were not, and why."""

    def check(self) -> None:
        """Raise unless every account adds up.

        Raises:
            LedgerError: Naming the account, its total and its bins.
        """
        accounts = {
            "questions": self.questions,
            "samples": self.samples,
            "continuations": self.continuations,
            **{n: a for n, a in (("searches", self.searches), ("leaves", self.leaves)) if a},
            **{f"rows of {name}": account for name, account in self.rows.items()},
            **{f"questions for {name}": account for name, account in self.considered.items()},
        }
        for name, account in accounts.items():
            if account.balance or any(count < 0 for count in account.bins.values()):
                raise LedgerError(
                    f"the ledger of {name} does not add up: total {account.total}, "
                    f"bins {account.bins}; build again with --from questions, and report this"
                )
