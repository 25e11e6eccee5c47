"""A model is loaded when it is needed, and not by who asks how it is."""

from __future__ import annotations

from photoramd.clock import Monotonic
from photoramd.models.availability import availability
from photoramd.models.lazy import LazyTagger
from photoramd.models.remote.tagger import RemoteTagger
from photoramd.models.tagger import Tagger, at_once
from tests.support.tiny_tagger import DESCRIPTION, TinyTagger, picture


def test_asking_how_it_is_loads_nothing() -> None:
    loaded: list[Tagger] = []

    def load() -> Tagger:
        loaded.append(TinyTagger())
        return loaded[-1]

    tagger = LazyTagger("tiny", load)
    model = availability(tagger)
    assert model is not None
    for _ in range(2):
        assert at_once(tagger) == 0
        assert model.is_available
        assert not model.is_hopeless
        assert model.trouble == ""
        assert model.deadline() == float("inf")
        model.step(Monotonic(0))
        model.close()
        assert len(loaded) <= 1
        tagger.scores([picture(1, 2, 3)])
    assert len(loaded) == 1


def test_what_is_loaded_may_be_unavailable() -> None:
    remote = RemoteTagger(DESCRIPTION, [])
    tagger = LazyTagger("tiny", lambda: remote)
    assert tagger.is_available
    tagger.load()
    assert not tagger.is_available
    assert tagger.is_hopeless
