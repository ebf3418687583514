"""The folders of an installation, as functions of the environment; and variables that only resemble settings."""

from pathlib import Path

import pytest

from animatic.errors import SettingsError
from animatic.machine import home
from flows.settings import Settings

PARTS = {
    "ledger": home.ledger_file,
    "data": home.data_folder,
    "logs": home.log_folder,
    "prefect": home.prefect_home,
    "temporary": home.temporary_folder,
    "empty": home.empty_folder,
}
OF_KUBERNETES = {
    "ANIMATIC_PORT": "tcp://10.0.0.1:80",
    "ANIMATIC_SERVICE_HOST": "10.0.0.1",
    "ANIMATIC_SERVICE_PORT": "80",
    "ANIMATIC_SERVICE_PORT_HTTP": "80",
    "ANIMATIC_PORT_80_TCP": "tcp://10.0.0.1:80",
    "ANIMATIC_PORT_80_TCP_PROTO": "tcp",
    "ANIMATIC_PORT_80_TCP_PORT": "80",
    "ANIMATIC_PORT_80_TCP_ADDR": "10.0.0.1",
    "ANIMATIC_PORT_53_UDP": "udp://10.0.0.1:53",
    "ANIMATIC_PORT_53_UDP_PROTO": "udp",
    "ANIMATIC_PORT_53_UDP_PORT": "53",
    "ANIMATIC_PORT_53_UDP_ADDR": "10.0.0.1",
    "ANIMATIC_UI_PORT": "tcp://10.0.0.2:8080",
    "ANIMATIC_UI_SERVICE_HOST": "10.0.0.2",
    "ANIMATIC_UI_SERVICE_PORT": "8080",
    "ANIMATIC_UI_SERVICE_PORT_METRICS": "9090",
    "ANIMATIC_UI_PORT_8080_TCP": "tcp://10.0.0.2:8080",
    "ANIMATIC_UI_PORT_8080_TCP_PROTO": "tcp",
    "ANIMATIC_UI_PORT_8080_TCP_PORT": "8080",
    "ANIMATIC_UI_PORT_8080_TCP_ADDR": "10.0.0.2",
}
"""Environment of a pod beside the Services `animatic` and `animatic-ui`."""


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environ)
    return str(caught.value)


@pytest.mark.parametrize("name", OF_KUBERNETES)
def test_a_variable_of_a_kubernetes_service_is_passed_over(name: str) -> None:
    assert Settings.from_environment({name: OF_KUBERNETES[name]}) == Settings.from_environment({})


def test_all_variables_of_kubernetes_services_leave_settings_as_they_are() -> None:
    ours = {"ANIMATIC_ACCOUNT_LEVEL": "gold", "ANIMATIC_POLL_FLOOR_S": "7"}
    assert Settings.from_environment(OF_KUBERNETES | ours) == Settings.from_environment(ours)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ANIMATIC_PROT", "1"),
        ("ANIMATIC_PORT", "8080"),
        ("ANIMATIC_UI_PORT", "8080"),
        ("ANIMATIC_SERVICE", "x"),
        ("ANIMATIC_SERVICE_HOSTS", "10.0.0.1"),
        ("ANIMATIC_PORT_80", "x"),
        ("ANIMATIC_PORT_TCP", "tcp://10.0.0.1:80"),
        ("ANIMATIC_MAX_INFLIGHT", "3"),
    ],
)
def test_a_typo_beside_variables_of_kubernetes_is_still_refused(name: str, value: str) -> None:
    reported = refusal(OF_KUBERNETES | {name: value})
    assert reported.startswith(f"{name}: unknown variable; did you mean ANIMATIC_")
    assert "\n" not in reported


def test_a_misspelled_home_is_refused_with_the_right_name() -> None:
    assert refusal({"ANIMATIC_HOM": "/x"}) == "ANIMATIC_HOM: unknown variable; did you mean ANIMATIC_HOME?"


@pytest.mark.parametrize("part", PARTS)
def test_every_part_lies_in_the_home_that_is_set(tmp_path: Path, part: str) -> None:
    place = PARTS[part]({"ANIMATIC_HOME": f" {tmp_path} ", "HOME": "/elsewhere"})
    assert place is not None
    assert place.is_relative_to(tmp_path)


def test_the_ledger_of_settings_lies_in_the_home_that_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    settings = Settings.from_environment({"ANIMATIC_HOME": str(tmp_path)})
    assert settings.ledger == f"sqlite:///{tmp_path}/ledger.sqlite"


def test_without_a_home_every_part_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_DATA_HOME", "XDG_STATE_HOME", "ANIMATIC_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert home.ledger_file({}) == tmp_path / ".local/share/animatic/ledger.sqlite"
    assert home.log_folder({}) == tmp_path / ".local/state/animatic/log"
    assert home.prefect_home({}) == tmp_path / ".prefect"
    assert home.temporary_folder({}) is None


def test_explicit_places_win_over_the_home(tmp_path: Path) -> None:
    environ = {
        "ANIMATIC_HOME": str(tmp_path),
        "ANIMATIC_LEDGER": "sqlite:////elsewhere/l.sqlite",
        "PREFECT_HOME": "/elsewhere/prefect",
        "TMPDIR": "/elsewhere/tmp",
    }
    assert Settings.from_environment(environ).ledger == "sqlite:////elsewhere/l.sqlite"
    assert home.prefect_home(environ) == Path("/elsewhere/prefect")
    assert home.temporary_folder(environ) is None


@pytest.mark.parametrize("text", ["relative", "./here", "~/animatic", "../up"])
def test_a_relative_home_is_refused_and_the_absolute_one_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    reported = refusal({"ANIMATIC_HOME": text})
    assert reported.startswith(f'ANIMATIC_HOME: found "{text}"')
    assert str(tmp_path / text) in reported


def test_a_second_ledger_is_not_begun_beside_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    before = tmp_path / "user/.local/share/animatic/ledger.sqlite"
    new = {"ANIMATIC_HOME": str(tmp_path / "new")}
    home.require_one_ledger(new)  # neither is there
    before.parent.mkdir(parents=True)
    before.touch()
    with pytest.raises(SettingsError) as caught:
        home.require_one_ledger(new)
    assert str(before) in str(caught.value)
    assert str(tmp_path / "new/ledger.sqlite") in str(caught.value)
    home.require_one_ledger(new | {"ANIMATIC_LEDGER": f"sqlite:///{before}"})
    home.require_one_ledger({})
    (tmp_path / "new").mkdir()
    (tmp_path / "new/ledger.sqlite").touch()
    home.require_one_ledger(new)
