"""Passages of text with the questions that they answer.

Axes: d passages, q questions.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32

from mmjax.data.core.checks import DataError, check_ids


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Passages:
    """Passages in the order of their source, and questions on them.

    Attributes:
        name: name of the data set.
        text: of each passage.
        titles: the work that each is from; where `grouped`, equal ones belong together.
        question: text of each question.
        document: the passage that answers it, int32 ``[q]``.
        source: where they came from, for people.
        grouped: whether titles say what belongs together, such as the paragraphs of an article.

    Raises:
        DataError: on construction, if a question asks for no passage, or lengths differ.
    """

    name: str
    text: tuple[str, ...]
    titles: tuple[str, ...]
    question: tuple[str, ...]
    document: Int32[np.ndarray, "q"]
    source: str
    grouped: bool

    def __post_init__(self) -> None:
        if len(self.text) != len(self.titles) or len(self.question) != len(self.document):
            raise DataError(
                f"{self.name}: {len(self.text)} texts with {len(self.titles)} titles, "
                f"{len(self.question)} questions with {len(self.document)} answers; give one each"
            )
        check_ids(self.document, where=self.name, what="document", count=len(self.text))

    def __repr__(self) -> str:
        return (
            f"Passages({self.name}: {len(self.text):,} passages, {len(self.question):,} questions)"
        )
