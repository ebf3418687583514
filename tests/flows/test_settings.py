"""The environment: every variable is read, every fault is named, and the key shows nowhere."""

import pickle
import re
import traceback
from datetime import date
from pathlib import Path

import certifi
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from animatic.errors import SettingsError
from animatic.pace.limits import LEVELS, Limits
from flows.settings import VARIABLES as READ
from flows.settings import Settings

unhurried = examples(60)

CANARY = "ws-canary-7f3a91"
VARIABLES = {
    "WAVESPEED_API_KEY": (CANARY, lambda s: s.require_key(), CANARY),
    "WAVESPEED_BASE_URL": ("https://proxy.example:8443/", lambda s: s.base_url, "https://proxy.example:8443"),
    "ANIMATIC_LEDGER": ("sqlite:////tmp/x.sqlite", lambda s: s.ledger, "sqlite:////tmp/x.sqlite"),
    "ANIMATIC_ACCOUNT_LEVEL": ("gold", lambda s: s.limits, Limits(600, 2_000)),
    "ANIMATIC_STARTS_PER_MINUTE": ("7", lambda s: s.limits, Limits(7, 2)),
    "ANIMATIC_MAX_IN_FLIGHT": ("9", lambda s: s.limits, Limits(2, 9)),
    "ANIMATIC_QUEUED_AHEAD": ("0", lambda s: s.queued_ahead, 0),
    "ANIMATIC_POLL_FLOOR_S": ("0.5", lambda s: s.poll_floor_s, 0.5),
    "ANIMATIC_TAKE_DEADLINE_S": ("60", lambda s: s.take_deadline_s, 60.0),
    "ANIMATIC_SETTLE_S": ("90", lambda s: s.settle_s, 90.0),
    "ANIMATIC_GIVE_UP_S": ("7200", lambda s: s.give_up_s, 7_200.0),
    "ANIMATIC_ADOPT_BY_WINDOW": ("1", lambda s: s.adopts_by_window, True),
    "ANIMATIC_PRICE_USD": ("2.5", lambda s: (s.price_usd, s.price_microusd), (2.5, 2_500_000)),
    "ANIMATIC_METRICS_PORT": ("9464-9473", lambda s: s.metrics_ports, range(9464, 9474)),
    "ANIMATIC_METRICS_HOST": ("0.0.0.0", lambda s: s.metrics_host, "0.0.0.0"),
    "ANIMATIC_LOG_FORMAT": ("json", lambda s: s.log_format, "json"),
    "ANIMATIC_MEDIA_DEPLOYMENT": ("media/media", lambda s: s.media_deployment, "media/media"),
    "ANIMATIC_NEW_LEDGER": ("2026-03-01", lambda s: s.new_ledger, date(2026, 3, 1)),
    "ANIMATIC_ACCOUNT": ("North.1", lambda s: s.origin, "https://api.wavespeed.ai#north.1"),
    "ANIMATIC_MAX_USD_PER_DAY": ("40", lambda s: (s.max_usd_per_day, s.day_microusd), (40.0, 40_000_000)),
}


def test_these_are_all_the_variables_there_are() -> None:
    assert set(READ.values()) == set(VARIABLES)


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environ)
    return str(caught.value)


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_is_read(name: str) -> None:
    text, read, expected = VARIABLES[name]
    assert read(Settings.from_environment({name: f" {text} "})) == expected


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = Settings.from_environment({})
    assert (settings.base_url, settings.account_level) == ("https://api.wavespeed.ai", "bronze")
    assert (settings.poll_floor_s, settings.take_deadline_s, settings.settle_s) == (5.0, 1_800.0, 600.0)
    assert (settings.give_up_s, settings.adopts_by_window, settings.new_ledger) == (86_400.0, False, None)
    assert (settings.api_key, settings.price_usd, settings.limits) == (None, None, Limits(2, 2))
    assert settings.price_microusd is None
    assert settings.ledger.startswith("sqlite:////")
    assert settings.is_real


@pytest.mark.parametrize("name", VARIABLES)
def test_a_blank_variable_is_as_good_as_none(name: str) -> None:
    assert Settings.from_environment({name: "  "}) == Settings.from_environment({})


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_gives_its_limits(level: str) -> None:
    assert Settings.from_environment({"ANIMATIC_ACCOUNT_LEVEL": level}).limits == LEVELS[level]


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("ANIMATIC_LEGDER", "ANIMATIC_LEDGER"),
        ("ANIMATIC_POLL_FLOOR", "ANIMATIC_POLL_FLOOR_S"),
        ("ANIMATIC_ACCOUNTLEVEL", "ANIMATIC_ACCOUNT_LEVEL"),
        ("ANIMATIC_IN_FLIGHT", "ANIMATIC_MAX_IN_FLIGHT"),
        ("ANIMATIC_PRICE", "ANIMATIC_PRICE_USD"),
    ],
)
def test_a_typo_is_an_error_that_names_the_nearest_variable(typo: str, meant: str) -> None:
    assert refusal({typo: "1"}) == f"{typo}: unknown variable; did you mean {meant}?"


def test_variables_of_others_are_none_of_our_business() -> None:
    Settings.from_environment({"PREFECT_API_URL": "x", "PATH": "/bin", "ANIMATICS": "1"})


def test_all_faults_are_reported_at_once() -> None:
    environ = {
        "ANIMATIC_TYPO": "1",
        "ANIMATIC_ACCOUNT_LEVEL": "platinum",
        "ANIMATIC_MAX_IN_FLIGHT": "0",
        "ANIMATIC_PRICE_USD": "nan",
    }
    lines = refusal(environ).splitlines()
    assert len(lines) == 4
    assert 'ANIMATIC_ACCOUNT_LEVEL: found "platinum"; allowed: bronze, silver, gold, ultra' in lines
    assert any(line.startswith('ANIMATIC_MAX_IN_FLIGHT: found "0"; ') for line in lines)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ANIMATIC_STARTS_PER_MINUTE", "0"),
        ("ANIMATIC_STARTS_PER_MINUTE", "2.5"),
        ("ANIMATIC_STARTS_PER_MINUTE", "many"),
        ("ANIMATIC_MAX_IN_FLIGHT", "-1"),
        ("ANIMATIC_POLL_FLOOR_S", "0"),
        ("ANIMATIC_POLL_FLOOR_S", "nan"),
        ("ANIMATIC_TAKE_DEADLINE_S", "inf"),
        ("ANIMATIC_SETTLE_S", "-1"),
        ("ANIMATIC_GIVE_UP_S", "0"),
        ("ANIMATIC_GIVE_UP_S", "inf"),
        ("ANIMATIC_GIVE_UP_S", "1e9"),
        ("ANIMATIC_ADOPT_BY_WINDOW", "perhaps"),
        ("ANIMATIC_NEW_LEDGER", "yes"),
        ("ANIMATIC_NEW_LEDGER", "01.03.2026"),
        ("ANIMATIC_LOG_FORMAT", "xml"),
        ("ANIMATIC_METRICS_PORT", "0"),
        ("ANIMATIC_METRICS_PORT", "70000"),
        ("ANIMATIC_METRICS_PORT", "9473-9464"),
        ("ANIMATIC_METRICS_PORT", "9000-9999"),
        ("ANIMATIC_METRICS_HOST", "metrics.example"),
        ("ANIMATIC_PRICE_USD", "0"),
        ("ANIMATIC_PRICE_USD", "0.0"),
        ("ANIMATIC_PRICE_USD", "nan"),
        ("ANIMATIC_PRICE_USD", "-0.01"),
        ("ANIMATIC_PRICE_USD", "1e99"),
        ("ANIMATIC_MAX_USD_PER_DAY", "-1"),
        ("ANIMATIC_MAX_USD_PER_DAY", "nan"),
        ("ANIMATIC_MAX_USD_PER_DAY", "inf"),
        ("ANIMATIC_ACCOUNT", "two words"),
        ("ANIMATIC_ACCOUNT", "a#b"),
        ("ANIMATIC_ACCOUNT", "-north"),
        ("ANIMATIC_ACCOUNT", "n" * 65),
    ],
)
def test_a_number_out_of_range_is_refused_by_name(name: str, text: str) -> None:
    assert refusal({name: text}).startswith(f'{name}: found "{text}"; ')


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://api.wavespeed.ai", "https://api.wavespeed.ai"),
        ("https://API.Wavespeed.AI/", "https://api.wavespeed.ai"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://localhost:8000", "http://localhost:8000"),
    ],
)
def test_https_anywhere_or_plain_http_on_loopback(url: str, kept: str) -> None:
    assert Settings.from_environment({"WAVESPEED_BASE_URL": url}).base_url == kept


@pytest.mark.parametrize(
    "url",
    [
        "http://api.wavespeed.ai",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://[::2]",
        "ftp://127.0.0.1",
        "//api.wavespeed.ai",
        "api.wavespeed.ai",
        "https://",
        "https://host/path",
        "https://host/?query",
        "https://host?q=1",
        "https://host#f",
        "https://user@host",
        "https://:password@host",
        "https://host:abc",
        "https://host:99999",
        "https://host:0",
        "https://ho st",
        "https://ho%41st",
        "https://höst",
        "https://[::1",
    ],
)
def test_any_other_base_url_is_refused(url: str) -> None:
    shown = re.sub(r"//[^/?#]*@", "//***@", url)
    assert refusal({"WAVESPEED_BASE_URL": url}).startswith(f'WAVESPEED_BASE_URL: found "{shown}"; ')


def test_a_password_in_the_base_url_is_not_shown() -> None:
    assert "canary" not in refusal({"WAVESPEED_BASE_URL": "https://canary@api.wavespeed.ai"})


@unhurried
@given(st.text(max_size=40))
def test_no_text_as_a_base_url_is_a_surprise(text: str) -> None:
    try:
        settings = Settings.from_environment({"WAVESPEED_BASE_URL": text})
    except SettingsError:
        return
    assert settings.base_url == "https://api.wavespeed.ai" or settings.base_url.startswith(("https://", "http://"))


def test_only_the_embedded_sandbox_costs_nothing() -> None:
    sandbox = Settings(base_url="http://127.0.0.1:4711", provider="sandbox")
    assert not sandbox.is_real
    assert (sandbox.origin, sandbox.written_origin) == ("sandbox", "sandbox")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:4711", "http://localhost:4711", "http://[::1]:4711", "https://e.com"]
)
def test_a_base_url_on_loopback_may_be_a_gateway_and_is_real(url: str) -> None:
    assert Settings(base_url=url).is_real


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://API.WaveSpeed.ai:443/", "https://api.wavespeed.ai"),
        ("https://api.wavespeed.ai.", "https://api.wavespeed.ai"),
        ("https://api.wavespeed.ai:0443", "https://api.wavespeed.ai"),
        ("https://api.wavespeed.ai:", "https://api.wavespeed.ai"),
        ("http://localhost:8000", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ],
)
def test_every_spelling_of_a_base_url_has_the_same_origin(url: str, origin: str) -> None:
    assert Settings.from_environment({"WAVESPEED_BASE_URL": url}).origin == origin


def test_what_fingerprints_had_before_is_the_base_url_as_it_was_kept() -> None:
    assert Settings(base_url="https://api.wavespeed.ai.").written_origin == "https://api.wavespeed.ai."
    assert Settings(base_url="http://LOCALHOST:8000/").written_origin == "http://localhost:8000"
    assert Settings().written_origin == Settings().origin == "https://api.wavespeed.ai"


@pytest.mark.parametrize(
    "ledger", ["sqlite:///ledger.sqlite", "sqlite:///a/../ledger.sqlite", "sqlite:///./ledger.sqlite"]
)
def test_a_relative_ledger_is_refused_with_its_absolute_path(
    ledger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refusal({"ANIMATIC_LEDGER": ledger})
    assert said.startswith(f'ANIMATIC_LEDGER: found "{ledger}"; ')
    assert said.endswith(f"sqlite:///{tmp_path}/ledger.sqlite")


@pytest.mark.parametrize("ledger", ["sqlite:////tmp/x.sqlite", "sqlite:///~/x.sqlite"])
def test_a_ledger_that_is_the_same_from_every_folder_is_kept(ledger: str) -> None:
    assert Settings.from_environment({"ANIMATIC_LEDGER": ledger}).ledger == ledger


def test_a_price_is_reserved_in_full_however_many_digits_it_has() -> None:
    assert Settings.from_environment({"ANIMATIC_PRICE_USD": "2.5000001"}).price_microusd == 2_500_001


def test_accounts_are_distinguished_without_showing_their_keys() -> None:
    one = Settings(api_key=SecretStr(CANARY))
    accounts = [
        one.account(),
        one.with_key(CANARY + "2").account(),
        Settings(api_key=SecretStr(CANARY), base_url="https://proxy.example").account(),
        Settings(api_key=SecretStr(CANARY), provider="sandbox", sandbox_folder="/a").account(),
        Settings(api_key=SecretStr(CANARY), provider="sandbox", sandbox_folder="/b").account(),
    ]
    assert len(set(accounts)) == len(accounts)
    assert one.account() == Settings(api_key=SecretStr(CANARY)).account()
    assert all(re.fullmatch("[0-9a-f]{32}", account) for account in accounts)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://127.0.0.1:2"])
def test_a_sandbox_is_the_same_account_on_every_port(url: str) -> None:
    sandbox = Settings(api_key=SecretStr(CANARY), provider="sandbox", sandbox_folder="/a", base_url=url)
    assert sandbox.account() == Settings(api_key=SecretStr(CANARY), provider="sandbox", sandbox_folder="/a").account()


def test_without_a_key_the_error_says_what_to_do() -> None:
    with pytest.raises(SettingsError, match=r"^WAVESPEED_API_KEY: not set\. .*--sandbox"):
        Settings.from_environment({}).require_key()


@pytest.mark.parametrize("key", [CANARY + " x", CANARY + "\nx", CANARY + "é", CANARY + "\0", "“" + CANARY])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    for read in (Settings.from_environment({"WAVESPEED_API_KEY": key}), Settings().with_key(key)):
        with pytest.raises(SettingsError, match=r"^WAVESPEED_API_KEY: ") as caught:
            read.require_key()
        assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_the_key_shows_in_no_text_of_the_settings() -> None:
    for read in (Settings.from_environment({"WAVESPEED_API_KEY": CANARY}), Settings().with_key(CANARY)):
        assert read.require_key() == CANARY
        for text in (repr(read), str(read), str(read.model_dump()), read.model_dump_json()):
            assert CANARY not in text


def test_the_key_shows_in_no_fault_beside_it() -> None:
    environ = {"WAVESPEED_API_KEY": CANARY, "ANIMATIC_TYPO": "1", "ANIMATIC_SETTLE_S": "x", "WAVESPEED_BASE_URL": "x"}
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environ)
    shown = "".join(traceback.format_exception(caught.value))
    assert CANARY not in shown
    assert CANARY.encode() not in pickle.dumps(caught.value)


def test_settings_do_not_change_once_read() -> None:
    settings = Settings.from_environment({})
    with pytest.raises(ValueError, match="frozen"):
        settings.base_url = "https://elsewhere.example"


@pytest.mark.parametrize(
    ("more", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ({"https_proxy": "proxy.example:3128"}, "http://proxy.example:3128"),
        ({"https_proxy": "http://small:1", "HTTPS_PROXY": "http://large:1"}, "http://small:1"),
        ({"HTTP_PROXY": "http://proxy:1"}, None),
        ({"ALL_PROXY": "http://all:1"}, "http://all:1"),
        ({"ALL_PROXY": "http://all:1", "HTTPS_PROXY": "http://one:1"}, "http://one:1"),
        ({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "wavespeed.ai"}, None),
        ({"HTTPS_PROXY": "http://proxy:1", "no_proxy": "*"}, None),
        ({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "example.com"}, "http://proxy:1"),
        ({"HTTPS_PROXY": "http://proxy:1", "WAVESPEED_BASE_URL": "http://127.0.0.1:8787"}, None),
        ({"HTTPS_PROXY": "http://proxy:1", "WAVESPEED_BASE_URL": "https://localhost:8787"}, None),
    ],
)
def test_the_proxy_leads_to_the_api_never_to_loopback(more: dict[str, str], proxy: str | None) -> None:
    settings = Settings.from_environment(more)
    found = settings.network.proxy_for(settings.base_url)
    assert (found and found.url) == proxy


@pytest.mark.parametrize("url", ["socks5://user:secret@proxy:1080", "http://user:secret@proxy:0", "http://[secret"])
def test_an_unusable_proxy_is_named_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="HTTPS_PROXY: ") as caught:
        Settings.from_environment({"HTTPS_PROXY": url})
    assert "secret" not in str(caught.value)


def test_a_proxys_password_is_not_shown_by_the_settings() -> None:
    settings = Settings.from_environment({"HTTPS_PROXY": "http://user:secret@proxy:1"})
    for text in (repr(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "secret" not in text
        assert "dXNlcjpzZWNyZXQ" not in text, "its header"


def test_certificates_that_are_not_there_are_refused_by_name_and_value(tmp_path: Path) -> None:
    empty, folder = tmp_path / "empty.pem", tmp_path / "folder"
    empty.write_text("nothing")
    folder.mkdir()
    for variable, value, fault in [
        ("SSL_CERT_FILE", tmp_path / "none.pem", "there is no such file"),
        ("SSL_CERT_FILE", folder, "it is no file"),
        ("SSL_CERT_FILE", empty, "it holds no certificate"),
        ("SSL_CERT_DIR", tmp_path / "none", "there is no such folder"),
    ]:
        with pytest.raises(SettingsError, match=f"^{variable}: ") as caught:
            Settings.from_environment({variable: str(value)})
        assert str(value) in str(caught.value)
        assert fault in str(caught.value)
        assert "unset it" in str(caught.value)


def test_a_certificate_file_is_read_before_a_folder_as_with_httpx(tmp_path: Path) -> None:
    environ = {"SSL_CERT_FILE": certifi.where(), "SSL_CERT_DIR": str(tmp_path / "none")}
    assert Settings.from_environment(environ).network.ca_file == certifi.where()
    assert Settings.from_environment({"SSL_CERT_FILE": "", "SSL_CERT_DIR": str(tmp_path)}).network.ca_file == ""


def test_without_a_named_account_nothing_changes() -> None:
    plain = Settings.from_environment({"WAVESPEED_BASE_URL": "https://api.wavespeed.ai:443"})
    assert (plain.origin, plain.written_origin) == ("https://api.wavespeed.ai", plain.base_url)
    assert plain.asked_account == "https://api.wavespeed.ai"


def test_a_named_account_has_its_own_uploads_prices_and_takes() -> None:
    north, south = (
        Settings.from_environment({"WAVESPEED_API_KEY": CANARY, "ANIMATIC_ACCOUNT": name})
        for name in ("north", "south")
    )
    assert north.account() != south.account()
    assert north.asked_account != south.asked_account
    assert north.origin == north.written_origin == "https://api.wavespeed.ai#north"


def test_the_embedded_sandbox_has_no_account_and_no_days() -> None:
    settings = Settings(provider="sandbox", account_name="north", max_usd_per_day=1.0)
    assert (settings.origin, settings.day_microusd) == ("sandbox", None)


def test_a_key_is_no_name_for_an_account() -> None:
    said = refusal({"WAVESPEED_API_KEY": CANARY, "ANIMATIC_ACCOUNT": CANARY.upper()})
    assert said.startswith("ANIMATIC_ACCOUNT: the name of the account is the key itself")
    assert CANARY not in said.lower()


def test_another_account_replaces_all_that_belongs_to_one() -> None:
    environ = {"WAVESPEED_API_KEY": "another", "ANIMATIC_ACCOUNT": "other", "ANIMATIC_ACCOUNT_LEVEL": "gold"}
    before = Settings.from_environment(
        environ | {"WAVESPEED_BASE_URL": "http://127.0.0.1:1", "ANIMATIC_MAX_IN_FLIGHT": "7"}
    )
    after = before.with_account(CANARY, "", "ultra", "https://api.wavespeed.ai/")
    assert (after.require_key(), after.origin, after.account_level) == (CANARY, "https://api.wavespeed.ai", "ultra")
    assert (after.ledger, after.limits.max_in_flight) == (before.ledger, 7)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            ("a b", "", "platinum", "https://api.wavespeed.ai"),
            'credentials: account_level: found "platinum"; allowed: ',
        ),
        (
            (CANARY, CANARY, "gold", "https://api.wavespeed.ai"),
            "credentials: ANIMATIC_ACCOUNT: the name of the account ",
        ),
        ((CANARY, "a b", "gold", "https://api.wavespeed.ai"), 'credentials: account_name: found "a b"; allowed: '),
        ((CANARY, "", "gold", "http://api.wavespeed.ai"), 'credentials: base_url: found "http://api.wavespeed.ai"; '),
    ],
)
def test_an_account_that_cannot_be_one_is_refused_without_its_key(fields: tuple[str, str, str, str], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings().with_account(*fields)
    assert str(caught.value).startswith(said)
    assert CANARY not in str(caught.value)
