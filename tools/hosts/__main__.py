"""Remove the hosts that a killed process left on this machine: `python -m tools.hosts down`."""

import sys

from tools.hosts.network import take_down_leavings

if __name__ == "__main__":
    if sys.argv[1:] != ["down"]:
        sys.exit(f"{__doc__}")
    for name in take_down_leavings():
        print(f"taken down: {name}")
