"""The shipped files of amazon_toys."""

from mmjax.data.sets.common.amazon_sequences import amazon_sequences

SOURCE = amazon_sequences(
    "amazon_toys",
    {
        "sequences.npz": "b095b3731fedb3d094092ac9facab1031fa27ec66e6e79f8bdb4c024c96169c6",
        "items.parquet": "fc4f51850b105c87e7ee66231cc54ccb09b312c47f693cbc640d6a925ee72f66",
    },
)
