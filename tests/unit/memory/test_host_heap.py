"""Freed memory goes back to the system."""

from __future__ import annotations

import ctypes
import sys

import psutil
import pytest

from engine.memory.host_heap import HeapTrimming, trim_heap

CHUNK, NUM_CHUNKS = 32 << 10, 1024


@pytest.mark.skipif(sys.platform != "linux", reason="asks for glibc")
def test_memory_that_was_freed_between_what_is_still_used_goes_back_to_the_system():
    if not trim_heap():
        pytest.skip("this C library keeps no heap that could be trimmed")
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    library.free.argtypes = (ctypes.c_void_p,)
    places = [library.malloc(CHUNK) for _ in range(NUM_CHUNKS)]
    for place in places:
        ctypes.memset(place, 1, CHUNK)
    full = psutil.Process().memory_info().rss
    kept = places[63::64]
    for place in set(places) - set(kept):
        library.free(place)
    trim_heap()
    freed = full - psutil.Process().memory_info().rss
    for place in kept:
        library.free(place)
    assert freed > CHUNK * NUM_CHUNKS // 2


def test_the_heap_is_not_trimmed_after_every_job():
    now, trimmed = [100.0], []
    heap = HeapTrimming(lambda: trimmed.append(now[0]), lambda: now[0])
    for second in range(100, 150, 5):
        now[0] = float(second)
        heap.after_job()
    assert trimmed == [100.0, 120.0, 140.0]
