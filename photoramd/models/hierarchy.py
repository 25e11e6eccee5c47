"""Which keywords stand above others, whichever model gives them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise

from photoramd.models.embedded.keywords import embedded_vocabulary
from photoramd.models.rules import Rules


def parents(rules: Rules) -> Iterator[tuple[str, str]]:
    """Yield pairs of a keyword and the one right above it, in the user's words.

    The embedded model's hierarchy is the only one there is; a ``dog`` of RAM++ is an animal, too.
    """
    vocabulary = embedded_vocabulary()
    word = cache(rules.word)  # few stand above many
    for label, above in zip(vocabulary.labels, vocabulary.parents, strict=True):
        words = [known for name in (*above, label) if (known := word(name)) is not None]
        yield from ((below, over) for over, below in pairwise(words))
