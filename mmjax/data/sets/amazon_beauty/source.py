"""The shipped files of amazon_beauty."""

from mmjax.data.sets.common.amazon_sequences import amazon_sequences

SOURCE = amazon_sequences(
    "amazon_beauty",
    {
        "sequences.npz": "0c4d8cca3ff2c59203df2d0722f87ad26593117ceff028ef9ad7fe573504d354",
        "items.parquet": "aa0a6d717c1a4337eef784a8a3688245dec13b7d86f205b019b5a7927bddeb1e",
        "features_f16.npz": "1c43548d633c289dea03be933dd3c906c12e2b10bc58925aeaf441ea21bad76d",
    },
)
