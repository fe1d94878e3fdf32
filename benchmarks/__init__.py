"""Benchmarks of quality and speed. The measured packages do not import this one."""
