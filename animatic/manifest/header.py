"""The columns of a manifest: which are ours, which are missing, and which look like a slip of the pen.

A near-miss of a column that is itself absent is a fault, since its default would be bought silently. Every other
column is carried into the results.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from animatic.errors.text import did_you_mean, escaped, nearest, quoted, shell_line
from animatic.manifest.faults import Fault, Problem, fault_at
from animatic.takes.veo2 import CHOICES

REQUIRED_COLUMNS = ("image", "prompt")
START_FROM = "start_from"
COLUMNS = (*REQUIRED_COLUMNS, "shot_id", "storyboard", *CHOICES, START_FROM, "takes", "model")
MAX_COLUMNS = 1_000
MAX_COLUMN_NAME_CHARS = 200

NEAR_MISS = "near-miss column name"
"""Rule of a header's fault that is none where a model has an input of that name."""

_SLIP_RATIO = 0.85
_ALIASES = {
    "image": ("img", "image_url", "image_uri", "image_path", "picture", "photo", "still", "url"),
    "prompt": ("prompts", "text", "description", "motion", "caption"),
}


_KNOWN = {name.replace("_", ""): name for name in COLUMNS} | {
    f"input.{name.replace('_', '')}": name for name in (*REQUIRED_COLUMNS, *CHOICES)
}

_OTHER_INPUTS = frozenset(
    (
        *("negative_prompt", "seed", "resolution", "fps", "frame_rate", "cfg", "cfg_scale", "guidance_scale"),
        *("num_inference_steps", "motion_strength", "camera_fixed", "enhance_prompt", "enable_prompt_expansion"),
        *("prompt_optimizer", "generate_audio", "last_image", "last_frame", "end_image", "end_frame", "tail_image"),
        *("start_image", "person_generation", "enable_safety_checker"),
    )
)
"""Names of inputs that other image-to-video models take. Source: their pages at WaveSpeed."""


def normalised(column: str) -> str:
    """Return the name that its writer may have meant: `Shot ID` is `shot_id`."""
    return column.strip().lower().replace(" ", "_").replace("-", "_")


def known_name(column: str) -> str | None:
    """Return the one of our columns that a name means, without regard to case, blanks, `_` and `-`; None for none."""
    return _KNOWN.get(bare(column))


def bare(column: str) -> str:
    """Return a name without what does not count in it: case, blanks, `_` and `-`."""
    return re.sub(r"[\s_-]+", "", column).lower()


@dataclass(frozen=True, slots=True)
class Names:
    """The columns of a manifest by the names that they are read under.

    Attributes:
        columns: a name for each.
        notes: which were read under another name than their own.
        problems: what is wrong with a mapping.
    """

    columns: Sequence[str]
    notes: Sequence[str] = ()
    problems: Sequence[Problem] = ()


def names_of(columns: Sequence[str], mapping: Mapping[str, str]) -> Names:
    """Return the names that columns are read under.

    A name that means one of ours is read as that, unless it is there already or two mean it. `mapping` says by our
    name which column is read as it.
    """
    names, problems, taken = list(columns), list[Problem](), set[int]()
    for known, wanted in mapping.items():
        found = [index for index, name in enumerate(columns) if name == wanted] or [
            index for index, name in enumerate(columns) if bare(name) == bare(wanted)
        ]
        if len(found) != 1:
            seen = ", ".join(quoted(name) for name in columns[:12])
            problems.append(Problem("bad mapping", f"--map {known}={wanted}", f"one of the columns {seen}"))
            continue
        for index, name in enumerate(names):
            if name == known and index != found[0]:
                names[index] = f"manifest_{name}"
        names[found[0]] = known
        taken.add(found[0])
    meant = Counter(known_name(name) for index, name in enumerate(names) if index not in taken)
    for index, name in enumerate(names):
        known = known_name(name)
        if index not in taken and known is not None and known not in names and meant[known] == 1:
            names[index] = known
    changed = [f'"{escaped(old, 60)}" as {new}' for old, new in zip(columns, names, strict=True) if old != new]
    return Names(names, [f"columns were read under another name: {', '.join(changed)}"] if changed else [], problems)


def unsent_notes(columns: Sequence[str], sent: Mapping[str, Sequence[str]]) -> list[str]:
    """Name the columns that look like inputs of a model and are only carried; `sent` are the inputs of each model."""
    read = {bare(name) for names in sent.values() for name in names}
    alike = [
        name
        for name in columns
        if name not in COLUMNS and normalised(name) in _OTHER_INPUTS and bare(name.removeprefix("input.")) not in read
    ]
    if not alike:
        return []
    shown = ", ".join(escaped(name, 60) for name in alike)
    takes = "; ".join(f"{model} takes {', '.join(names)}" for model, names in sent.items())
    return [f"columns that look like inputs of a model are carried, not sent: {shown}; {takes}"]


def is_carried(column: str) -> bool:
    """Tell if a column of a manifest goes into the results as it is: those of ours are there in a column of ours."""
    return column not in COLUMNS or column == START_FROM


def names_required(columns: Sequence[str]) -> bool:
    """Tell if a header names what makes a shot, or nearly: the image or the prompt."""
    return any(name in columns for name in REQUIRED_COLUMNS)


def header_faults(columns: Sequence[str], line: int | None) -> list[Fault]:
    """Missing columns and near-misses. `line` is the header's own, None for Parquet.

    With a column `model` each row's own model says what it needs.
    """
    faults: list[Fault] = []
    taken: set[str] = set()
    for missing in (name for name in REQUIRED_COLUMNS if name not in columns and "model" not in columns):
        meant = _meant_by(missing, [name for name in columns if name not in COLUMNS])
        taken.update(() if meant is None else (meant,))
        faults.append(fault_at(line, None, "header", _missing(missing, meant, columns)))
    for known in COLUMNS:
        alike = [name for name in columns if bare(name) == bare(known)]
        if len(alike) > 1:
            found = " and ".join(map(quoted, alike[:4]))
            hint = f"rename all but one, or choose it with {shell_line(['--map', f'{known}=COLUMN'])}"
            bad = Problem("columns that mean the same", found, f"one column for {known}", hint)
            faults.append(fault_at(line, None, "header", bad))
            taken.update(alike)
    for name in columns:
        known = None if name in COLUMNS or name in taken else _slip_of(name)
        if known is not None and known not in columns:
            allowed = f"the columns {', '.join(COLUMNS)}, or a name unlike theirs"
            bad = Problem(NEAR_MISS, quoted(name), allowed, did_you_mean(known))
            faults.append(fault_at(line, None, "header", bad))
    return faults


def name_faults(columns: Sequence[str], line: int | None) -> list[Fault]:
    """Return faults that make all columns unusable: two of one name, or names that no table can have."""
    allowed = f"names of 1 to {MAX_COLUMN_NAME_CHARS} printable characters"
    problems = [
        Problem("bad column name", quoted(name) if name else "a column without a name", allowed)
        for name in columns
        if not name or len(name) > MAX_COLUMN_NAME_CHARS or not name.isprintable()
    ]
    problems += [
        Problem("duplicate column name", f"{quoted(name)} {count} times", "each column once")
        for name, count in Counter(columns).items()
        if count > 1
    ]
    if len(columns) > MAX_COLUMNS:
        problems = [Problem("too many columns", f"{len(columns):,} columns", f"up to {MAX_COLUMNS:,}")]
    return [fault_at(line, None, "header", bad) for bad in problems]


def _missing(missing: str, meant: str | None, columns: Sequence[str]) -> Problem:
    seen = ", ".join(escaped(name, 30) for name in columns[:12]) + (", …" if len(columns) > 12 else "")
    hint = f"read another column as it with --map {missing}=COLUMN"
    if meant is not None:
        mapping = shell_line(["--map", f"{missing}={meant}"])
        hint = f'did you mean {quoted(meant)} to be "{missing}"? Then rename it, or add {mapping}'
    return Problem(
        "missing column", f'no column "{missing}", only {seen}', "a header that names image and prompt", hint
    )


def _meant_by(missing: str, others: Sequence[str]) -> str | None:
    """Return the one of `others` that its writer may have meant to be the column `missing`."""
    plain = {normalised(name): name for name in reversed(others)}
    for alias in (missing, *_ALIASES[missing]):
        if alias in plain:
            return plain[alias]
    near = nearest(missing, plain, 0.7)
    return None if near is None else plain[near]


def _slip_of(column: str) -> str | None:
    return nearest(normalised(column), [name for name in COLUMNS if name != START_FROM], _SLIP_RATIO)
