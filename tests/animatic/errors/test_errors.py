"""The tree of errors is the one that its module draws, and every error survives a journey between processes."""

import copy
import pickle
import re

import pytest

from animatic import errors
from animatic.errors import AnimaticError

ARGUMENTS: dict[str, tuple[object, ...]] = {
    "ManifestError": ("shots.csv:2: one fault\nshots.csv:3: another", 2),
    "ApiBusyError": ("submit: WaveSpeed answered 429", 7.5),
    "ApiRefusedError": ("submit: WaveSpeed answered 400", 400),
    "FileRefusedError": ("still a.png of shot s1: upload: WaveSpeed answered 400", 400),
    "AccountRefusedError": ("submit: WaveSpeed answered 403", 403),
}


def classes() -> list[type[AnimaticError]]:
    found = [AnimaticError]
    for kind in found:
        found += kind.__subclasses__()
    return [kind for kind in found if kind.__module__ == errors.__name__]


def drawn() -> dict[str, str]:
    """Child to parent, as the docstring draws it: a step deeper is four columns further right."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^(    [│├└─ ]*)([A-Z][A-Za-z]+Error)\b", line)
        if found:
            depth = (len(found[1]) - 4) // 4
            path = [*path[:depth], found[2]]
            if depth:
                parents[found[2]] = path[depth - 1]
    return parents


def test_the_tree_is_as_drawn() -> None:
    assert drawn() == {kind.__name__: kind.__mro__[1].__name__ for kind in classes() if kind is not AnimaticError}


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_an_error_survives_pickling_with_its_text_and_attributes(kind: type[AnimaticError]) -> None:
    error = kind(*ARGUMENTS.get(kind.__name__, ("a sentence",)))
    for twin in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(twin) is kind
        assert (str(twin), twin.args, vars(twin)) == (str(error), error.args, vars(error))
    assert str(error) == error.args[0]


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_an_error_says_what_it_is_for(kind: type[AnimaticError]) -> None:
    assert kind.__doc__
    assert "__doc__" in vars(kind)


def test_a_busy_api_may_name_no_time() -> None:
    assert errors.ApiBusyError("busy").retry_after_s is None


def test_the_fault_count_of_a_manifest_is_one_by_default() -> None:
    assert errors.ManifestError("one fault").fault_count == 1
