"""The shipped files of squad_sentences."""

from mmjax.data.sets.common.passages import passages

SOURCE = passages(
    "squad_sentences",
    "https://github.com/xinyadu/nqg",
    "CC BY-SA 4.0 (SQuAD)",
    {
        "passages.parquet": "a5c3a1625be974b2201e1984089a9162eb20c8ac748572ad5a66460c3afd0cda",
        "questions.parquet": "d88ac4d4fc374fb0d20a509f5c0dcf7142ac194b453584687f8b13d0bb5b1276",
    },
    grouped=False,
)
