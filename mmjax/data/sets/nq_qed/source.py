"""The shipped files of nq_qed."""

from mmjax.data.sets.common.passages import passages

SOURCE = passages(
    "nq_qed",
    "https://github.com/google-research-datasets/QED",
    "CC BY-SA 3.0",
    {
        "passages.parquet": "cbacee01129598d45c4c2d8bcaf825786522c7205b94e864f84101553fb27deb",
        "questions.parquet": "9297247e93b4ecb2e87e74eeb4238d113cacffa959d4499da12a5e7d1aa63579",
    },
    grouped=False,
)
