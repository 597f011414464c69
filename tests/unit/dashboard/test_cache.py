"""The answers that are kept are bounded, in bytes and in number."""

from __future__ import annotations

from starlette.responses import Response

from expman.dashboard.cache import CACHE_BYTES, MOST_ANSWERS, AnswerCache


def test_the_answers_that_were_longest_not_asked_for_go() -> None:
    """One that is asked for stays."""
    cache = AnswerCache()
    for number in range(MOST_ANSWERS + 10):
        cache.put((number,), Response(b"x"))
        assert cache.get((0,)) is not None

    assert [None] * 10 == [cache.get((number,)) for number in range(1, 11)]
    assert cache.get((MOST_ANSWERS + 9,)) is not None


def test_large_answers_leave_room_for_few() -> None:
    """No answer is kept that would take a quarter of the room."""
    cache = AnswerCache()
    large = Response(b"x" * (CACHE_BYTES // 4))
    for number in range(6):
        cache.put((number,), large)
    cache.put(("larger",), Response(b"x" * (CACHE_BYTES // 4 + 1)))

    assert [False, False, True, True, True, True, False] == [
        cache.get((key,)) is not None for key in (*range(6), "larger")
    ]
