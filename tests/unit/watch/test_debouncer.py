from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from photoramd.watch.debouncer import Debouncer


def debouncer() -> Debouncer:
    return Debouncer(quiet_seconds=5, max_wait_seconds=60, batch_size=3)


def test_a_lone_file_is_ready_after_its_quiet_period_and_not_before() -> None:
    waiting = debouncer()
    waiting.add("/p/a.jpg", 10)
    assert waiting.ready(14.9) == []
    assert waiting.deadline(14.9) == 15
    assert waiting.ready(15) == ["/p/a.jpg"]
    assert waiting.deadline(15) is None
    assert len(waiting) == 0


def test_another_event_begins_the_quiet_period_again() -> None:
    waiting = debouncer()
    waiting.add("/p/a.jpg", 10)
    waiting.add("/p/a.jpg", 14)
    assert waiting.ready(15) == []
    assert waiting.ready(19) == ["/p/a.jpg"]


def test_quiet_files_wait_for_the_others_until_they_fill_a_batch() -> None:
    waiting = debouncer()
    for number in range(3):
        waiting.add(f"/p/{number}.jpg", number)
    waiting.add("/p/late.jpg", 6)
    assert waiting.ready(6.5) == []
    assert waiting.ready(7) == ["/p/0.jpg", "/p/1.jpg", "/p/2.jpg"]
    assert len(waiting) == 1


def test_a_quiet_file_waits_no_longer_than_the_maximum() -> None:
    waiting = debouncer()
    waiting.add("/p/a.jpg", 0)
    for second in range(1, 60):
        waiting.add("/p/still-copied.jpg", second)
        assert waiting.ready(second) == []
    waiting.add("/p/still-copied.jpg", 60)
    assert waiting.deadline(59.5) == 60
    assert waiting.ready(60) == ["/p/a.jpg"]


def test_a_file_that_never_becomes_quiet_is_never_ready() -> None:
    waiting = debouncer()
    for second in range(500):
        waiting.add("/p/a.jpg", second)
        assert waiting.ready(second) == []


def test_files_with_one_stem_leave_together() -> None:
    waiting = debouncer()
    waiting.add("/p/IMG_1.jpg", 0)
    waiting.add("/p/IMG_1.heic", 3)
    assert waiting.ready(5) == []
    assert waiting.ready(8) == ["/p/IMG_1.jpg", "/p/IMG_1.heic"]


def test_a_sidecar_or_raw_keeps_its_photo_waiting_and_is_not_handed_out() -> None:
    waiting = debouncer()
    waiting.add("/p/IMG_1.jpg", 0)
    for companion, second in (("IMG_1.CR2", 2), ("IMG_1.xmp", 3), ("IMG_1.jpg.xmp", 4)):
        waiting.disturb(f"/p/{companion}", second)
    assert waiting.ready(8.9) == []
    assert waiting.ready(9) == ["/p/IMG_1.jpg"]


def test_a_companion_without_a_waiting_photo_is_nothing() -> None:
    waiting = debouncer()
    waiting.disturb("/p/IMG_1.xmp", 0)
    assert len(waiting) == 0
    assert waiting.deadline(0) is None


@given(
    st.lists(
        st.tuples(
            st.floats(0, 4),
            st.sampled_from(["/p/a.jpg", "/p/a.png", "/p/b.jpg", "/p/c.jpg", "/q/a.jpg"]),
        ),
        max_size=40,
    )
)
def test_every_file_comes_out_once_after_its_last_event_and_quiet(
    events: list[tuple[float, str]],
) -> None:
    waiting = debouncer()
    now, last, out = 0.0, {}, []
    for delay, path in events:
        now += delay
        waiting.add(path, now)
        last[path] = now
        for ready in waiting.ready(now):
            assert now - last.pop(ready) >= 5
    while (deadline := waiting.deadline(now)) is not None:
        assert deadline > now
        now = deadline
        out += waiting.ready(now)
    assert sorted(out) == sorted(last)
    assert len(waiting) == 0
