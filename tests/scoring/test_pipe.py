"""Waiting for a pipe."""

from __future__ import annotations

import fcntl
import os
import resource
import time
from collections.abc import Iterator

import pytest

from mlship.scoring.pipe import readable


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_silence_takes_its_time_and_words_do_not(pipe: tuple[int, int]) -> None:
    begun = time.monotonic()
    assert not readable(pipe[0], 0.05)
    assert time.monotonic() - begun >= 0.04
    assert not readable(pipe[0], -1.0), "too late already: look, do not wait"
    os.write(pipe[1], b"x")
    assert readable(pipe[0], 60.0)


def test_the_end_of_the_other_side_can_be_read() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    assert readable(reader, 60.0)
    os.close(reader)


def test_a_process_with_more_files_than_select_can_count(pipe: tuple[int, int]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    high = fcntl.fcntl(pipe[0], fcntl.F_DUPFD, 1050)
    try:
        os.write(pipe[1], b"x")
        assert readable(high, 1.0)
    finally:
        os.close(high)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
