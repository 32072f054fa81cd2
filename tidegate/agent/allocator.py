"""The C library's allocator: what was freed goes back to the kernel when it is told to."""

import ctypes


def give_back() -> None:
    """Returns freed memory to the kernel (malloc_trim(3)); nothing happens under a C library that has no such call.

    To apply a large table libnftables takes some hundred megabytes for a moment, and glibc keeps them for the process.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
