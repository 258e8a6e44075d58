"""Data sets as frozen dataclasses of numpy arrays; never a model, never JAX.

Named ones by `load`, see `listing`; your own tables by `prepare`, your
files by `load_mmrec`, `load_ratings_csv`, `load_sequences_csv`, `load_caption_files` and
`load_incdsi`; synthetic ones by `communities`,
`topics`, `preferences`, `mixed_modalities`, `chains`, `concept_images` and `topic_documents`.
"""

from mmjax.data.core.captioned import CaptionedImages
from mmjax.data.core.catalogue import Attribute, attribute_of
from mmjax.data.core.checks import DataError
from mmjax.data.core.continual import ContinualCorpus, in_sessions, validate_corpus
from mmjax.data.core.corpora import (
    Documents,
    dealt_to_sessions,
    passage_documents,
    product_documents,
)
from mmjax.data.core.interactions import Interactions, validate
from mmjax.data.core.passages import Passages
from mmjax.data.core.sequences import (
    Sequences,
    from_interactions,
    from_lists,
    in_order_of_time,
    validate_sequences,
)
from mmjax.data.core.splits import resplit
from mmjax.data.core.words import Words
from mmjax.data.formats.captions import load_caption_files
from mmjax.data.formats.incdsi import load_incdsi
from mmjax.data.formats.mmrec import load_mmrec, save_mmrec
from mmjax.data.formats.preparation import prepare
from mmjax.data.formats.ratings import load_ratings_csv, load_sequences_csv
from mmjax.data.loading import load
from mmjax.data.registry import builder, find, listing, names
from mmjax.data.sets.common.source import DataSource
from mmjax.data.synthetic.captions import concept_images
from mmjax.data.synthetic.documents import topic_documents
from mmjax.data.synthetic.interactions import (
    chains,
    communities,
    mixed_modalities,
    preferences,
    topics,
)

__all__ = [
    "Attribute",
    "CaptionedImages",
    "ContinualCorpus",
    "DataError",
    "DataSource",
    "Documents",
    "Interactions",
    "Passages",
    "Sequences",
    "Words",
    "attribute_of",
    "builder",
    "chains",
    "communities",
    "concept_images",
    "dealt_to_sessions",
    "find",
    "from_interactions",
    "from_lists",
    "in_order_of_time",
    "in_sessions",
    "listing",
    "load",
    "load_caption_files",
    "load_incdsi",
    "load_mmrec",
    "load_ratings_csv",
    "load_sequences_csv",
    "mixed_modalities",
    "names",
    "passage_documents",
    "preferences",
    "prepare",
    "product_documents",
    "resplit",
    "save_mmrec",
    "topic_documents",
    "topics",
    "validate",
    "validate_corpus",
    "validate_sequences",
]
