"""The PostgreSQL server that tests use: the one of `ANIMATIC_TEST_POSTGRESQL`, or the usual one on this machine."""

import functools
import os

import psycopg
import pytest


@functools.cache
def _problem_with(url: str) -> str | None:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.Error as error:
        return str(error).strip().splitlines()[0]
    return None


def server_of_tests() -> str:
    """Return the URL of a database that tests may make schemas in; skips where there is none."""
    url = os.environ.get("ANIMATIC_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/test")
    problem = _problem_with(url)
    if problem is not None:
        pytest.skip(f"no PostgreSQL for tests at {url}: {problem}")
    return url
