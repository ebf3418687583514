"""The account's limits: when a take may start, and how many may be in flight. Knows no ledger; is given one."""
