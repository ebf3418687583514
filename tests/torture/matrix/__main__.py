"""`python -m torture.matrix [NAME...]`: all cases, or these."""

import sys

from torture.matrix import run

result = run(sys.argv[1:] or None)
print(*result.problems, sep="\n")
print(result)
