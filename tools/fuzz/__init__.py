"""A fuzzer of everything that reads what others made: files, messages and requests.

    scripts/env python -m tools.fuzz --minutes 30              # all targets
    scripts/env python -m tools.fuzz --only bags --seed 7
    scripts/env python -m tools.fuzz --replay FINDING.json     # one input again

A case is made from seed, target and number alone, in a worker process that may crash.
"""
