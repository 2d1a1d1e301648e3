"""Fuzzers of everything that reads what others wrote: photos, tables, YAML, model files, bodies, videos, label exports.

`python -m fuzz --seconds 60` runs all of them; `python -m fuzz --help` has the options. Inputs are valid files with a
few mutations, made in the file's own structure so that most of them pass a reader's first check. A reader may accept
or refuse with a clean error; everything else counts as a crash: another exception, the end of the process, more than
`engine.SLOW_SECONDS` or more than `engine.MEMORY_BYTES` for one input. Nothing that a fuzzer found is kept in the
repository: tests of what was mended build their own harmless input.
"""
