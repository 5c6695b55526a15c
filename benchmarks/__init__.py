"""How fast, beside whom: each module is one benchmark, run as `python -m benchmarks.NAME --json FILE`."""
