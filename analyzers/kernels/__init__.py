"""Compiled kernels of the fits: free functions over arrays, no other package of ours but physics."""

KERNEL_VERSION = 1
"""Raised whenever a kernel may give other bits for the same input; part of the version hash of every result."""
