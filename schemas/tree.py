"""Everything that one question's search generated: every step, dead or alive, with its ancestry.

A node holds the text of its own step only, so that hundreds of particles share their prefixes. The
text of a partial solution is the plain concatenation of the nodes from the root's child down.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from butwait.schemas.record import SCHEMA_VERSION, Record
from butwait.schemas.verdict import VerdictName

SearchMethod = Literal[
    "best_of_n",
    "weighted_best_of_n",
    "self_consistency",
    "beam",
    "dvts",
    "particle",
    "entropic_particle",
    "particle_gibbs",
    "islands",
]
Fate = Literal["continued", "finished", "resampled_out", "pruned", "cut"]
"""``continued``: grew at least one child. ``finished``: the solution ended here. The others are
dead ends: ``resampled_out`` by a filter, ``pruned`` by a beam, ``cut`` by a limit or a refusal."""
End = Literal["end_of_text", "boxed", "length"]
"""``length``: a whole sample that its token limit ended; its verdict is ``truncated``."""
Cut = Literal["max_steps", "context_overflow", "empty", "budget", "refused", "unscored"]


class TreeNode(Record):
    """One generated step."""

    id: int = Field(ge=0)
    """Position in ``SearchTree.nodes``; parents stand before their children."""
    parent: int | None
    """Node that it continues; None for a first step."""
    step: int = Field(ge=0)
    """0-based number of the step in its solution."""
    text: str
    """The step as it was generated, its separator at the end where the model wrote one."""
    n_tokens: int = Field(ge=0)
    log_prob: float | None
    """Sum of the tokens' log-probabilities under the policy at temperature 1; None: not told."""
    seed: int | None
    """Names the sample in the completion cache; the engine was not sent it."""
    step_score: float | None = None
    """Process reward of this step alone, in [0, 1], before aggregation; None: not scored."""
    score: float | None = None
    """Process reward of the prefix that ends here, in [0, 1], after aggregation."""
    log_weight: float | None = None
    """Log-weight when it last took part in a resampling or in the final selection."""
    fate: Fate
    end: End | None = None
    """How a finished solution ended."""
    cut: Cut | None = None
    """Why a node was cut."""
    verdict: VerdictName | None = None
    """The verifier's word on a finished solution (None elsewhere, and where no gold is known)."""
    extracted: str | None = None
    answer_canonical: str | None = None


class Resampling(Record):
    """One resampling of a filter: who was there, with which weight, and who became whose child."""

    chain: int = Field(ge=0)
    """Island or Gibbs chain."""
    iteration: int = Field(ge=0)
    """Gibbs iteration of the chain."""
    step: int = Field(ge=0)
    """Steps that the particles had when they were resampled."""
    particles: tuple[int, ...]
    """Node at which each particle stood."""
    log_weights: tuple[float | None, ...]
    """Normalised log-weight of each particle, tempered as it was used; None: dead (weight 0; JSON
    has no minus infinity)."""
    ess: float
    """Effective sample size 1 / sum(w^2) of the weights before tempering, in [1, n]."""
    temperature: float
    """Temperature of the softmax over the weights."""
    ancestors: tuple[int, ...]
    """For each slot after it, the index in ``particles`` that it continues; the identity where
    the weights were even enough not to resample."""

    @model_validator(mode="after")
    def _lengths(self) -> Resampling:
        n = len(self.particles)
        if not n == len(self.log_weights) == len(self.ancestors):
            raise ValueError("particles, log_weights and ancestors must be equally many")
        if any(not 0 <= a < n for a in self.ancestors):
            raise ValueError(f"ancestors must lie in [0, {n})")
        return self


class Vote(Record):
    """Final answers that the verifier holds to be equal."""

    answer: str
    """As the heaviest of them was written."""
    n: int = Field(ge=1)
    """Final particles with it."""
    weight: float = Field(ge=0.0, le=1.0)
    """Their share of the weight of all final particles that have an answer."""
    leaf: int
    """The heaviest leaf that has it."""
    leaves: tuple[int, ...]
    """All leaves that have it, each once."""


class Usage(Record):
    """What a search cost; the same counts for every method."""

    n_samples: int = Field(ge=0)
    """Solutions begun: particles, beams or whole samples, over all iterations."""
    n_steps: int = Field(ge=0)
    """Steps generated."""
    n_tokens: int = Field(ge=0)
    """Tokens generated, those of dead branches included."""
    n_prompt_tokens: int = Field(ge=0)
    """Prompt tokens sent, prefixes re-sent included (the server's prefix cache reads most)."""
    n_scored: int = Field(ge=0)
    """Prefixes that the process reward model was asked about."""


class SearchTree(Record):
    """One question's search."""

    schema_version: Literal[1] = SCHEMA_VERSION
    question_id: str
    method: SearchMethod
    budget: int = Field(ge=1)
    """Solutions that the method was allowed to begin."""
    parameters: str
    """The recipe's search section as canonical JSON."""
    temperature: float
    top_p: float
    prompt_preset: str
    separator: str
    model: str
    model_revision: str | None
    engine: str
    prm: str | None
    """Model (or rule) that scored; None: nothing scored."""
    prm_revision: str | None
    r1_derived: bool
    verifier_version: str
    nodes: tuple[TreeNode, ...]
    resamplings: tuple[Resampling, ...]
    final: tuple[int, ...]
    """Leaf of every final particle, repetitions included."""
    final_log_weights: tuple[float, ...]
    """Normalised log-weights of the final particles; never of a resampled set weighted again."""
    selected: int | None
    """Leaf that the method answers with; None: it has no answer."""
    votes: tuple[Vote, ...]
    """Answers of the final particles, heaviest first."""
    usage: Usage

    @model_validator(mode="after")
    def _consistent(self) -> SearchTree:
        for place, node in enumerate(self.nodes):
            if node.id != place:
                raise ValueError(f"node {place} has the id {node.id}")
            if node.parent is not None and not 0 <= node.parent < place:
                raise ValueError(f"node {place} stands before its parent {node.parent}")
        if len(self.final) != len(self.final_log_weights):
            raise ValueError("final and final_log_weights must be equally many")
        return self

    def path(self, node: int) -> tuple[int, ...]:
        """Node ids from the first step to ``node``."""
        found: list[int] = []
        at: int | None = node
        while at is not None:
            found.append(at)
            at = self.nodes[at].parent
        return tuple(reversed(found))

    def text(self, node: int) -> str:
        """The partial solution that ends at ``node``."""
        return "".join(self.nodes[i].text for i in self.path(node))

    @property
    def answer(self) -> Vote | None:
        """The vote that the chosen leaf belongs to; None where it has no answer."""
        return next((vote for vote in self.votes if self.selected in vote.leaves), None)

    def leaves(self) -> tuple[TreeNode, ...]:
        """Finished solutions, in node order."""
        return tuple(node for node in self.nodes if node.fate == "finished")
