"""Manifests, and what is written for others to read."""

import csv
import io

import pyarrow as pa
from asked import shot_of, takes_in, takes_of
from pyarrow import parquet

from animatic.errors import AnimaticError
from animatic.manifest import check, read_table
from animatic.results import formats, formulas
from torture.matrix.stage import PROVIDER, STILL, Setup, case


@case("input", "hostile manifests", "every one is refused with a sentence, none crashes or is half read")
async def _manifests(setup: Setup) -> bool:
    hostile = [
        b"", b"\x00" * 100, b"image\n", b"image,prompt\n", b"image,prompt\n\xff\xfe,x\n", b"PAR1" + b"\x00" * 64 + b"PAR1",
        b"image,prompt\n" + b'"' * 1_001, b"image,prompt\n../../etc/passwd,x\n", b"image,prompt\nfile:///etc/passwd,x\n",
        b"image,prompt\nhttps://e.com/a.png," + b"x" * 10_000_000, b"image,prompt,prompt\na.png,b,c\n",
        b"image,prompt,takes\nhttps://e.com/a.png,x,1e9\n", b"image,prompt,takes\nhttps://e.com/a.png,x,17\n",
    ]  # fmt: skip
    refused = 0
    for data in hostile:
        for name in ("shots.csv", "shots.parquet"):
            try:
                checked = check(read_table(name, data), stills={}, storyboard_default="x", provider=PROVIDER)
                checked.require_valid(skip_invalid=False)
            except AnimaticError as error:
                assert len(str(error)) < 10_000
                assert str(error).replace("\n", "").isprintable()
                refused += 1
    assert refused >= 2 * len(hostile) - 2, refused
    return True


@case("input", "one take in two rows and two files, CSV and Parquet", "it is the same take, bought once")
async def _same_take(setup: Setup) -> bool:
    row = {"image": STILL, "prompt": "push in", "duration": "5", "note": "x"}
    rows = ("first,5s,push in", "second,5.0,push in")
    text = "".join(f"{row},{STILL}\r\n" for row in ("note,duration,prompt,image", *rows)).replace(
        f"image,{STILL}", "image"
    )
    sink = io.BytesIO()
    parquet.write_table(pa.table({name: [value] for name, value in row.items()}), sink)
    async with setup.sandbox():
        takes = []
        for name, data in (("a.csv", text.encode()), ("b.parquet", sink.getvalue())):
            checked = check(read_table(name, data), stills={}, storyboard_default="x", provider=PROVIDER)
            checked.require_valid(skip_invalid=False)
            takes += takes_in(checked)
        assert len(takes) == 3
        assert len({take.fingerprint for take in takes}) == 1
        await setup.run(takes)
        assert await setup.states(takes) == ["completed"] * 3
        return len(setup.accepted) == 1


@case(
    "input", "a manifest that was edited, reordered and shortened", "takes are known by what they ask for, not by row"
)
async def _edited(setup: Setup) -> bool:
    async with setup.sandbox():
        takes = setup.takes("one", "two", "three")
        await setup.run(takes[:2])
        await setup.run(list(reversed(setup.takes("zero", "three", "two", "one"))))
        return setup.bought == {"one": 1, "two": 1, "three": 1, "zero": 1}


@case(
    "input", "blanks at the end, other line ends, a signed URL", "it is the same take, bought once, and sent as written"
)
async def _spelled_otherwise(setup: Setup) -> bool:
    signed = "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=me&X-Amz-Signature="
    rows = [
        (f"{STILL}{signed}one", "pan\nleft, caf\u00e9"),
        (f"{STILL}{signed}two", "pan\r\nleft, cafe\u0301  \n"),
        (
            f"{STILL.replace('https://stills.example', 'HTTPS://STILLS.EXAMPLE:443')}#x",
            "\ufeffpan\nleft, caf\u00e9\u200b",
        ),
    ]
    async with setup.sandbox():
        takes = [take for still, prompt in rows for take in takes_of(shot_of(image=still, prompt=prompt), PROVIDER)]
        assert len({take.fingerprint for take in takes}) == 1
        for take in takes:
            await setup.run([take])
        (sent,) = [each.inputs for each in setup.accepted]
        assert (sent["image"], sent["prompt"]) == rows[0]
        other = setup.takes("pan\nleft, cafe")
        await setup.run(other)
        return len(setup.accepted) == 2


@case(
    "input", "cells that a spreadsheet would run", "the CSV export puts a ' in front of them, and one can be taken off"
)
async def _formulas(setup: Setup) -> bool:
    cells = [
        "=1+1",
        "+1",
        "-cmd|x",
        "@x",
        "\t=1",
        "\r=1",
        "|cmd",
        "\uff1d1",
        "'=1",
        "plain",
        "a;=1+1",
        "a;b;'=1",
        "a\t@x",
    ]
    table = pa.table({"note": cells})
    data = formats.encode(table, ".csv")
    shown = [row[0] for row in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d")) for cell in shown), shown
    assert formulas.restore(pa.array(shown[1:])).to_pylist() == cells
    return True
