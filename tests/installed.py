"""animatic as users install it: a wheel, built once for all tests of a process, in an environment of its own."""

import subprocess
import sys
import venv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import prefect

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Installed:
    """The wheel, and the environment that it is installed in."""

    wheel: Path
    environment: Path

    @property
    def animatic(self) -> str:
        return str(self.environment / "bin/animatic")

    @property
    def packages(self) -> Path:
        (found,) = self.environment.glob("lib/python*/site-packages")
        return found


@cache
def installed(folder: Path) -> Installed:
    """Build the wheel and install it with uv. What it depends on is that of this environment, the checkout left out."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    found = Installed(wheel, folder / "venv")
    venv.create(found.environment, symlinks=True)
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--offline", "--no-deps"]
    subprocess.run([*uv, "--python", found.environment / "bin/python", wheel], check=True)
    (found.packages / "dependencies.pth").write_text(f"{Path(prefect.__file__).parents[1]}\n")
    return found
