"""Decide whether what similar photos are found by is kept, and open it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from photoramd.config.schema import Config
from photoramd.database.features import Features, features_path
from photoramd.models.weights.catalog import EMBEDDED


@contextmanager
def kept_features(config: Config) -> Iterator[Features | None]:
    """Return where the features of pictures are kept, until the end of a ``with`` block.

    None if the configuration wants none, or its model has none.
    """
    if not config.similar.enabled or config.model.name != EMBEDDED.name:
        yield None
        return
    # It imports numpy.
    from photoramd.models.embedded.projection import features_version

    path = features_path(config.state.path)
    with closing(Features(path, features_version(), config.state.file_mode)) as features:
        yield features
