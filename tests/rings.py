"""Rings of tests: of whole folders and files, and of single tests."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
RINGS = ("pure", "sandbox", "services")
FOLDERS = {
    "animatic/buying": "sandbox",
    "animatic/buying/polling": "pure",
    "animatic/ledger": "sandbox",
    "animatic/manifest/test_parquet.py": "sandbox",
    "animatic/manifest/test_parquet_pages.py": "sandbox",
    "animatic/media/test_checkers.py": "sandbox",
    "animatic/media/test_clip_measures.py": "sandbox",
    "animatic/media/test_downloads.py": "sandbox",
    "animatic/media/test_first_frames.py": "sandbox",
    "animatic/media/test_media_files.py": "sandbox",
    "animatic/media/test_processes.py": "sandbox",
    "animatic/media/test_provenance.py": "sandbox",
    "animatic/media/test_reel.py": "sandbox",
    "animatic/media/test_remote_stills.py": "sandbox",
    "animatic/media/test_stills.py": "sandbox",
    "animatic/media/test_strips.py": "sandbox",
    "animatic/pace/test_forecasts.py": "sandbox",
    "animatic/results/test_analysis.py": "sandbox",
    "animatic/results/test_formats.py": "sandbox",
    "animatic/results/test_replaced.py": "sandbox",
    "animatic/results/test_saved_again.py": "sandbox",
    "animatic/results/test_streaming.py": "sandbox",
    "animatic/results/test_summary.py": "sandbox",
    "animatic/results/test_table_files.py": "sandbox",
    "animatic/results/test_workbook.py": "sandbox",
    "animatic/review/test_page.py": "services",
    "animatic/review/test_server.py": "sandbox",
    "animatic/review/timeline": "sandbox",
    "animatic/sandbox": "sandbox",
    "animatic/storage/test_s3.py": "services",
    "animatic/storage/test_storage.py": "sandbox",
    "animatic/storage/test_stores.py": "services",
    "animatic/wavespeed/test_proxies.py": "sandbox",
    "animatic/web/test_proxies.py": "sandbox",
    "animatic/web/test_storage.py": "sandbox",
    "clients": "services",
    "docs/test_reference.py": "sandbox",
    "docs/test_site.py": "services",
    "flows": "sandbox",
    "flows/server/metrics/test_alert_rules.py": "services",
    "flows/server/metrics/test_endpoint.py": "sandbox",
    "flows/server/metrics/test_families.py": "pure",
    "flows/server/metrics/test_health.py": "pure",
    "flows/test_settings.py": "pure",
    "performance": "sandbox",
    "sandbox": "sandbox",
    "spreadsheets/test_libraries.py": "sandbox",
    "spreadsheets/test_libreoffice.py": "services",
    "tasks": "sandbox",
    "tools": "sandbox",
    "tools/test_hosts.py": "services",
    "torture": "sandbox",
}
"""Rings of whole folders and files that use sockets, processes, ledgers, Prefect, pandas, video or S3; that encode and
decode pictures, workbooks or Parquet; or that simulate whole runs.

Nothing in those of the other two rings is pure, so that `-m pure` need not import them.
"""

FIXTURES = frozenset({"account_of", "wire"})
"""Fixtures with sockets or a ledger. A test that uses one is in the ring `sandbox`."""


def ring_of_path(path: Path) -> str:
    """Return the ring of a file's unmarked tests."""
    place = path.relative_to(TESTS)
    return next((FOLDERS[name] for each in (place, *place.parents) if (name := each.as_posix()) in FOLDERS), "pure")


def ring_of(item: pytest.Item) -> str:
    marked = {mark.name for mark in item.iter_markers() if mark.name in RINGS}
    of_path = ring_of_path(item.path)
    if len(marked) > 1 or (marked == {"pure"} and of_path != "pure"):
        raise pytest.UsageError(f"{item.nodeid} is marked {sorted(marked)} in a folder of the ring {of_path}")
    if marked:
        return marked.pop()
    uses = FIXTURES.intersection(getattr(item, "fixturenames", ()))
    return "sandbox" if of_path == "pure" and uses else of_path
