"""Makes this directory importable: what several tests share lies in `support`."""
