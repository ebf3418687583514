"""`python -m tools.stills FOLDER`: draw every demo still into a folder."""

import sys
from pathlib import Path

from tools.stills import SCENES, draw_still


def main(arguments: list[str]) -> int:
    """0 when all stills were drawn, 2 when the folder is missing."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m tools.stills FOLDER\n")
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for scene in SCENES:
        path = folder / f"{scene.name}.jpg"
        path.write_bytes(draw_still(scene))
        sys.stdout.write(f"{path}  {path.stat().st_size // 1000} kB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
