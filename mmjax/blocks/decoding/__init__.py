"""Prefix trees of token codes and the beam searches that they constrain."""

from mmjax.blocks.decoding.beams import (
    NORMALIZE,
    Beams,
    Step,
    beam_items,
    beam_search,
    free_beam_search,
    invalid_rate,
    score_codes,
)
from mmjax.blocks.decoding.code_recall import Place, place_of, recall_code, recall_item
from mmjax.blocks.decoding.listwise import gold_first
from mmjax.blocks.decoding.trie_subsets import (
    Subset,
    allow,
    block,
    open_children,
    open_slots,
    parent_nodes,
    slot_of_rank,
)
from mmjax.blocks.decoding.trie_walk import (
    child,
    children,
    contains,
    leaf_members,
    lookup,
    nth_child,
    start_nodes,
)
from mmjax.blocks.decoding.tries import Trie, build_trie, leaf_codes, with_items
from mmjax.blocks.decoding.vocabulary import Vocabulary

__all__ = [
    "Beams",
    "NORMALIZE",
    "Place",
    "Step",
    "Subset",
    "Trie",
    "Vocabulary",
    "allow",
    "beam_items",
    "beam_search",
    "block",
    "build_trie",
    "child",
    "children",
    "contains",
    "free_beam_search",
    "gold_first",
    "invalid_rate",
    "leaf_codes",
    "leaf_members",
    "lookup",
    "nth_child",
    "open_children",
    "open_slots",
    "parent_nodes",
    "place_of",
    "recall_code",
    "recall_item",
    "score_codes",
    "slot_of_rank",
    "start_nodes",
    "with_items",
]
