"""Semantic ids of any table of vectors, and back: fit, encode, decode, judge, save.

from mmjax import semantic_ids as sids

table = sids.fit_sids(embeddings)                        # (n, d) in, an id for each row out
print(sids.report(table))
vectors = sids.decode(table, table.codes)
table = table.with_items(sids.encode(table, more), new_item_ids)
table.save("ids.npz")                                    # sids.SidTable.load reads it
"""

from mmjax.semantic_ids.fit import (
    SidCollapse,
    assign,
    check,
    decode,
    encode,
    fit_sids,
    quality,
    report,
)
from mmjax.semantic_ids.table import SidTable, arrays_sha256, expected_collisions, suggest_sizes

__all__ = [
    "SidCollapse",
    "SidTable",
    "arrays_sha256",
    "assign",
    "check",
    "decode",
    "encode",
    "expected_collisions",
    "fit_sids",
    "quality",
    "report",
    "suggest_sizes",
]
