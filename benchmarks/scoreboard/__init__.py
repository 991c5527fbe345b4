"""The same faults and the same load on recloser and on its peers, each in an environment of its own.

`python -m benchmarks.scoreboard` measures, `--write` makes `docs/scoreboard.md` of what was measured.
"""
