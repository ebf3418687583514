"""A folder that others filled: code and settings under every name that a library reads from its working folder.

Whatever of it is executed leaves its name in a folder of marks.
"""

import json
import py_compile
import sys
from pathlib import Path

_MODULES = (
    "uvicorn", "sitecustomize", "usercustomize", "prefect", "httpx", "aiohttp", "json", "encodings", "typing",
    "logging", "types", "re", "typer", "pandas", "pyarrow", "sqlite3", "conftest", "setup", "fsspec", "platformdirs",
    "secrets",
)  # fmt: skip
_PACKAGES = ("flows", "tasks", "animatic", "animatic/sandbox", "pydantic", "migrations")
_LOGGING = "version: 1\nhandlers:\n  mark:\n    (): posix.mkdir\n    path: {mark}\nroot:\n  handlers: [mark]\n"


def logging_settings(mark: Path) -> str:
    """The text of a file of logging settings that makes the folder `mark` when it is obeyed."""
    return _LOGGING.format(mark=mark)


def fill(folder: Path, marks: Path, outside: Path) -> list[Path]:
    """Fill the folder; what it holds now. Links in it lead to files of the same kind in `outside`."""
    for each in (folder, marks, outside):
        each.mkdir(parents=True, exist_ok=True)
    for name in _MODULES:
        (folder / f"{name}.py").write_text(_code(marks / f"{name}.py"))
    for name in _PACKAGES:
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "__init__.py").write_text(_code(marks / name.replace("/", ".")))
        (folder / name / "__main__.py").write_text(_code(marks / f"{name.replace('/', '.')}.main"))
    _add_compiled(folder, marks)
    for name, text in _settings(folder, marks).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    for name in ("click", "rich"):
        (outside / f"{name}.py").write_text(_code(marks / f"linked {name}.py"))
        (folder / f"{name}.py").symlink_to(outside / f"{name}.py")
    (outside / "profiles.toml").write_text((folder / "profiles.toml").read_text())
    (folder / ".prefect").mkdir()
    (folder / ".prefect/profiles.toml").symlink_to(outside / "profiles.toml")
    (folder / "loop").symlink_to(folder)
    return sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def _code(mark: Path) -> str:
    """Python that leaves a mark, with what every interpreter has built in, and takes no part in anything else."""
    return f"import posix\nposix.close(posix.open({str(mark)!r}, posix.O_CREAT | posix.O_WRONLY))\n"


def _add_compiled(folder: Path, marks: Path) -> None:
    source = marks.with_name("compiled.py")
    for name in ("ssl", "platform"):  # modules without a source, and with one only in the cache
        source.write_text(_code(marks / f"compiled {name}"))
        py_compile.compile(str(source), str(folder / f"{name}.pyc"), doraise=True)
        py_compile.compile(
            str(source), str(folder / f"__pycache__/{name}.{sys.implementation.cache_tag}.pyc"), doraise=True
        )
    source.unlink()


def _settings(folder: Path, marks: Path) -> dict[str, str]:
    dead, log = "http://127.0.0.1:9/api", folder / "logging.yml"
    prefect = f'[logging]\nsettings_path = "{log}"\n[api]\nurl = "{dead}"\n'
    of_project = prefect.replace("[", "[tool.prefect.")
    profile = f'PREFECT_API_URL = "{dead}"\nPREFECT_LOGGING_SETTINGS_PATH = "{log}"\n'
    dotenv = (
        f"PREFECT_API_URL={dead}\nPREFECT_LOGGING_SETTINGS_PATH={log}\nPREFECT_PROFILES_PATH={folder}/profiles.toml\n"
        f"ANIMATIC_ACCOUNT_LEVEL=none\nWAVESPEED_BASE_URL={dead}\n"
    )
    import_line = f"import posix; posix.mkdir({str(marks / 'pth')!r})\n"
    return {
        "logging.yml": logging_settings(marks / "logging.yml"),
        "logging.yaml": logging_settings(marks / "logging.yaml"),
        "prefect.toml": prefect,
        "pyproject.toml": of_project,
        "profiles.toml": f'active = "theirs"\n[profiles.theirs]\n{profile}',
        ".env": dotenv,
        ".env.local": dotenv,
        ".prefectignore": "*\n",
        "prefect.yaml": "pull:\n- prefect.deployments.steps.run_shell_script:\n    script: touch theirs\n",
        "setup.cfg": "[tool:pytest]\naddopts = --theirs\n",
        "tox.ini": "[pytest]\n",
        "pip.conf": "[global]\nindex-url = http://127.0.0.1:9/\n",
        ".netrc": "default login theirs password theirs\n",
        "_netrc": "default login theirs password theirs\n",
        ".condarc": "channels: []\n",
        "alembic.ini": "[alembic]\nscript_location = migrations\n",
        "fsspec.json": json.dumps({"file": {"auto_mkdir": True}}),
        ".config/fsspec/conf.json": json.dumps({"file": {"auto_mkdir": True}}),
        ".config/pip/pip.conf": "[global]\nindex-url = http://127.0.0.1:9/\n",
        "openssl.cnf": ".include theirs\n",
        "pyvenv.cfg": f"home = {folder}\n",
        "theirs.pth": import_line,
        "site-packages/theirs.pth": import_line,
        "python311._pth": f"{folder}\nimport site\n",
        "mime.types": "text/plain png\n",
        ".mailcap": "*/*; touch theirs\n",
        "ledger.sqlite": "not a ledger",
        "sandbox.lock": json.dumps({"url": dead, "pid": 1}),
        "sandbox.users": "",
        "sandbox.ports": "9\n",
        "libssl.so.3": "not a library",
        "git": "#!/bin/sh\ntouch theirs\n",
        "ffmpeg": "#!/bin/sh\ntouch theirs\n",
        "python": "#!/bin/sh\ntouch theirs\n",
    }  # fmt: skip
