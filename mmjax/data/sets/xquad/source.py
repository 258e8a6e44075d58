"""The shipped files of xquad."""

from mmjax.data.sets.common.passages import passages

SOURCE = passages(
    "xquad",
    "https://github.com/google-deepmind/xquad",
    "CC BY-SA 4.0",
    {
        "passages.parquet": "33cdd4803b865f0d81d2f949288a27419f1c19f862c98be0f9aeb2aacd3bb915",
        "questions.parquet": "cbba61067f00d5b390c16e3487e38791b054f166fe1708360bfdc9bea6cdfb11",
    },
)
