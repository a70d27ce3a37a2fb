"""What the transforms that read search trees know of a tree, each fact in one pass over its nodes.

Two nodes with one parent and one text are one state that was reached twice. White space counts only
where it parts words: ``1`` and ``1 `` go on differently, ``So.`` at an end of text and ``So.``
before a blank line say the same. Such nodes are merged: the first of them stands for all, their
children are siblings, their finished solutions are counted together. Left out: whether a branch is
dead (`butwait.transforms.dead_branches`).

What a share of right leaves says. A leaf counts as often as it was generated: the same text drawn
twice counts twice, because both are draws from the policy, while a leaf that several final
particles hold was drawn once and counts once. Even so the share is not the policy's chance of
success where a filter or a beam decided which prefixes grow: it leans to what the reward model
liked, and a prefix whose continuations were all dropped has no leaf and says nothing. Whole samples
(``best_of_n`` and its kin) have no such bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from butwait.schemas.tree import Fate, SearchTree, TreeNode


@dataclass(frozen=True, slots=True)
class TreeParent:
    """A node as the parent of a trace or a row."""

    tree: SearchTree
    node: TreeNode

    @property
    def id(self) -> str:
        """``<question id>-node-<node id>``."""
        return f"{self.tree.question_id}-node-{self.node.id}"

    @property
    def r1_derived(self) -> bool:
        """Whether the searched policy derives from DeepSeek-R1."""
        return self.tree.r1_derived


@dataclass(frozen=True, slots=True)
class TreeFacts:
    """A tree with its duplicates merged; all tuples are indexed by node id.

    Facts of a merged node stand at the first of its nodes, whose id is ``same_as`` of each.
    """

    tree: SearchTree
    same_as: tuple[int, ...]
    """For every node the first one with the same parent and text; often itself."""
    children: tuple[tuple[int, ...], ...]
    roots: tuple[int, ...]
    """The different first steps."""
    n_right: tuple[int, ...]
    """Finished solutions at or below a node with the verdict ``correct``."""
    n_judged: tuple[int, ...]
    """And those with the verdict ``correct`` or ``incorrect``; other verdicts say nothing."""
    fates: tuple[frozenset[Fate], ...]
    scores: tuple[float | None, ...]
    """Process reward of the prefix; of merged nodes the first that was scored."""

    def path(self, node: int) -> tuple[int, ...]:
        """Merged nodes from the first step to ``node``."""
        return tuple(self.same_as[i] for i in self.tree.path(node))

    def text(self, node: int) -> str:
        """The partial solution that ends at a merged node, in the words of the first of each."""
        return "".join(self.tree.nodes[i].text for i in self.path(node))

    def verdict(self, node: int) -> Literal["correct", "incorrect"] | None:
        """Whether a solution ended at a merged node and was judged; not what grew from it."""
        below = self.children[node]
        if self.n_right[node] > sum(self.n_right[i] for i in below):
            return "correct"
        return "incorrect" if self.n_wrong(node) > sum(map(self.n_wrong, below)) else None

    def siblings(self, node: int) -> list[int]:
        """Other merged nodes that continue the same prefix as a merged node."""
        parent = self.tree.nodes[node].parent
        return [i for i in self.steps_after(parent) if i != node]

    def steps_after(self, prefix: int | None) -> tuple[int, ...]:
        """Merged nodes that continue a node; the first steps for None."""
        return self.roots if prefix is None else self.children[self.same_as[prefix]]

    def value(self, node: int) -> float | None:
        """Share of right ones among the judged leaves at or below a merged node; None: no leaf."""
        judged = self.n_judged[node]
        return self.n_right[node] / judged if judged else None

    def n_wrong(self, node: int) -> int:
        """Leaves at or below a merged node with the verdict ``incorrect``."""
        return self.n_judged[node] - self.n_right[node]

    def leaves(self, verdict: str) -> list[TreeNode]:
        """Finished solutions of one verdict, in node order, each text once."""
        seen: set[str] = set()
        found = []
        for node in self.tree.nodes:
            if node.verdict != verdict:
                continue
            text = fold(self.tree.text(node.id))
            if text not in seen:
                seen.add(text)
                found.append(node)
        return found


def read_facts(tree: SearchTree) -> TreeFacts:
    """Merge a tree's duplicates and count what is below each node.

    Args:
        tree: A question's search.

    Returns:
        The facts, in time linear in the number of nodes and the length of their texts.
    """
    same_as = _merge(tree.nodes)
    n_right, n_judged = [0] * len(same_as), [0] * len(same_as)
    children: list[list[int]] = [[] for _ in same_as]
    fates: list[set[Fate]] = [set() for _ in same_as]
    scores: list[float | None] = [None] * len(same_as)
    for node, first in zip(tree.nodes, same_as, strict=True):
        n_right[first] += node.verdict == "correct"
        n_judged[first] += node.verdict in ("correct", "incorrect")
        fates[first].add(node.fate)
        if scores[first] is None:
            scores[first] = node.score
    roots = []
    for node in tree.nodes:
        if same_as[node.id] != node.id:
            continue
        if node.parent is None:
            roots.append(node.id)
        else:
            children[same_as[node.parent]].append(node.id)
    _add_below(tree.nodes, same_as, n_right)
    _add_below(tree.nodes, same_as, n_judged)
    return TreeFacts(
        tree=tree,
        same_as=tuple(same_as),
        children=tuple(tuple(below) for below in children),
        roots=tuple(roots),
        n_right=tuple(n_right),
        n_judged=tuple(n_judged),
        fates=tuple(frozenset(found) for found in fates),
        scores=tuple(scores),
    )


def fold(text: str) -> str:
    """A text with every run of white space as one space."""
    return " ".join(text.split())


def parent_named(tree: SearchTree, name: str) -> TreeParent:
    """The node that `TreeParent.id` names."""
    return TreeParent(tree, tree.nodes[int(name.rsplit("-", 1)[1])])


def _merge(nodes: Sequence[TreeNode]) -> list[int]:
    first: dict[tuple[int, str, bool, bool], int] = {}
    same_as: list[int] = []
    for node in nodes:
        parent = -1 if node.parent is None else same_as[node.parent]
        words = fold(node.text)
        # Only behind a step that broke off inside a line does a leading space mean anything.
        is_apart = bool(words) and node.text[0].isspace() and not _has_ended(nodes, node.parent)
        key = parent, words, is_apart, _has_ended(nodes, node.id)
        same_as.append(first.setdefault(key, node.id))
    return same_as


def _has_ended(nodes: Sequence[TreeNode], node: int | None) -> bool:
    """Whether what follows a node begins a new word."""
    if node is None:
        return True
    return nodes[node].fate == "finished" or nodes[node].text[-1:].isspace()


def _add_below(nodes: Sequence[TreeNode], same_as: Sequence[int], counts: list[int]) -> None:
    """Add each merged node's count to its parent's, children first."""
    # A merged node stands behind the first node of its parent: it continues that one or a later.
    for node in reversed(nodes):
        if same_as[node.id] == node.id and node.parent is not None:
            counts[same_as[node.parent]] += counts[node.id]
