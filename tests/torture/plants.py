"""Planted bugs: each is put into a copy of the code, and a part of the proof must turn red.

A bug whose text is not in the code any more is red too: it would prove nothing.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from torture.ledgers import SERVER, backend, is_on_server
from torture.modules import ROOT, find_test, replace_within
from torture.part import Part

RED = 9
MOST_S = {"sqlite": 240, "postgresql": 900}
"""So long a bug may stay unseen, by backend: simulated runs wait for their server most of their time."""
WORLD = "from torture.world import until_red; part = until_red(range(80, 1_500))"
POWER = "from torture.power import run; part = run(60)"
ARCHIVING = "from torture.archiving import run; part = run(limit=40)"
URLS = "from torture.urls import run; part = run()"
LEDGER_TESTS = "tests/animatic/ledger"
"""Tests below run on each backend of the ledger."""
NONE_SELECTED = 5
"""The exit code of pytest where no test is asked for."""
INDEPENDENT = "no test of the check depends on where the ledger lies"


@dataclass(frozen=True)
class Plant:
    """A bug.

    Attributes:
        edits: `module:qualname`, a text that stands there once, and the text to put in its place.
        only_on: the backend of the ledger that it is a bug of, where it is of one.
        check: Python that leaves a `Part` in `part`, or `pytest NAME …`, of a test file.
    """

    name: str
    edits: tuple[tuple[str, str, str], ...]
    check: str
    only_on: str | None = None


def matrix(*names: str) -> str:
    return f"from torture.matrix import run; part = run({list(names)!r})"


def lines(words: str) -> str:
    return f"from torture.lines import kill_near; part = kill_near({words!r})"


PLANTS = (
    Plant("a retake buys what was left pending too",
          (("results.retakes:_new_numbers", "if not numbers.get(number, False):", "if number not in numbers:"),),
          "pytest results/test_retakes -k never_bought"),
    Plant("a request that was answered is asked for again",
          (("results.retakes:_Planner._is_answered", "            return True\n", "            return False\n"),),
          "pytest results/test_retakes -k answered_request"),
    Plant("a retake of a chained shot buys its source's pending takes",
          (("results.retakes:_whole_number_of_takes", " if was_tried(take.row)}", "}"),),
          "pytest results/test_retakes -k left_pending"),
    Plant("a changed decision is written over the rows of others",
          (("results.decision_files:save_decisions", "now.table.changed(changes)", "DecisionTable(now.table.name).changed(changes)"),),
          "pytest results/test_decision_files -k editors_rows"),
    Plant("a chained take is bought before its source is completed",
          (("ledger.chains:link", "if state is not State.COMPLETED:", "if state is State.FAILED:"),),
          "pytest ledger/test_chains -k only_bought_after"),
    Plant("a shot is bought with a second source by another run",
          (("ledger.chains:link", "if fixed is not None and fixed not in", "if fixed is not None and fixed in"),),
          "pytest ledger/test_chains -k two_sources"),
    Plant("a bought shot starts from whatever take is newest",
          (("takes.chains:choose_source", "if fixed is None:", "if fixed is None or not choices.is_followed:"),),
          "pytest takes/test_chains -k keeps_its_source"),
    Plant("a shot starts from the take before the one that it is linked to",
          (("takes.chains:Chains.source_of", "self.linked.get(row)", "self.linked.get(row - 1, self.linked.get(row))"),),
          "from torture.chains import run; part = run(1, points=0)"),
    Plant("POST before the intent",
          (("submissions:Submissions.submit", "                intended = await self._ledger.intend(intent)",
            "                early = await self._client.submit(take.shot.model, inputs)\n"
            "                intended = await self._ledger.intend(intent)"),
           ("submissions:Submissions.submit", "                reply = await self._client.submit(take.shot.model, inputs)\n",
            "                reply = early\n")),
          WORLD),
    Plant("may it be bought is asked before the wait, not with the intent",
          (("operations:intend", "permission_to_buy(newest.take_status if newest else TakeStatus(None), intent.policy)", '"plan" if newest is None or newest.take_status.state not in LIVE else None'),),
          matrix("another run has bought it meanwhile")),
    Plant("a 429 keeps its room in the receipts",
          (("submissions:Submissions._record", "        with self._recording(entry):", "        with contextlib.nullcontext() if isinstance(outcome, Busy) else self._recording(entry):"),),
          "pytest test_order -k room_in_the_receipts"),
    Plant("a list that shows nothing at all proves absence",
          (("buying.reconcile:_Scanner.read", "self.problem = await self._contradiction(began_at)", "await self._contradiction(began_at)"),),
          matrix("a list that misunderstands the filter")),
    Plant("sent again after a read time-out",
          (("outcomes:_without_reply", "Unknown(failure.why) if failure.has_left else Unsent(failure.why)", "Unsent(failure.why)"),),
          matrix("reply lost after it was accepted")),
    Plant("sent again after a 5xx",
          (("outcomes:classify", "    if is_refusal(http):\n", "    if http >= 500:\n        return Unsent(refusal)\n    if is_refusal(http):\n"),),
          matrix("500, accepted")),
    Plant("unknown becomes planned at the start",
          (("operations:give_up_submitting", "            state=State.UNKNOWN.value,\n            error=died", "            state=State.UNSENT.value,\n            error=died"),),
          WORLD),
    Plant("the unique index is dropped, and the look before it",
          (("ledger.schema:ONE_LIVE", 'sa.Index("one_live", *_LIVE_OF, unique=True,', 'sa.Index("one_live", *_LIVE_OF, unique=False,'),
           ("operations:intend", "    if allowed_by is None:\n", '    allowed_by = allowed_by or "plan"\n    if False:\n')),
          matrix(*["four runs on one manifest at once"] * 8)),
    Plant("the unique index alone is dropped",
          (("ledger.schema:ONE_LIVE", 'sa.Index("one_live", *_LIVE_OF, unique=True,', 'sa.Index("one_live", *_LIVE_OF, unique=False,'),),
          "pytest ledger/test_schema -k second_live_attempt"),
    Plant("two intents for one take share a transaction, and both are bought",
          (("bulk:_never_tried", "if len(plain) < len(intents) or ", "if "),),
          "pytest ledger/test_bulk -k one_take"),
    Plant("a prediction that two attempts of a group were given is whosesoever it is",
          (("bulk:accept", "        raise UnusualError\n", "        pass\n"),),
          "pytest ledger/test_bulk -k holds_both"),
    Plant("redirects are followed",
          (("transport:AiohttpTransport._send", "allow_redirects=False", "allow_redirects=True"),),
          "pytest test_client -k redirect"),
    Plant("absence from one scan",
          (("evidence:_absent", "is_proven = claim.absent_since is not None and scan.began_at - claim.absent_since >= settle", "is_proven = True"),),
          matrix("not in the list")),
    Plant("absence from two scans at once",
          (("evidence:_absent", "scan.began_at - claim.absent_since >= settle", "scan.began_at >= claim.absent_since"),
           ("evidence:_verdict", "    if scan.began_at < claim.window_to + settle:\n", "    if False:\n")),
          WORLD),
    Plant("absence from a scan with a failed page",
          (("evidence:_absent_since", "return scan.ended_at if scan.is_complete and", "return scan.ended_at if"),
           ("evidence:_verdict", "    if not scan.is_complete:\n", "    if False:\n")),
          "pytest test_evidence"),
    Plant("a run that is submitting is left out of the evidence",
          (("evidence:_verdict", "if any(rival.is_live for rival in rivals):", "if False:"),
           ("evidence:_share_by_inputs", "        if any(claim.is_live for claim in group):\n            continue\n", "")),
          "pytest test_evidence"),
    Plant("ids that are bound count as candidates",
          (("ledger.predictions:unbound", "    return [each for each in listed if each.prediction_id not in bound]", "    return list(listed)"),),
          WORLD),
    Plant("a submission that was held up is looked for only where it was planned",
          (("operations:conclude", '{"error_code": error_code, "error": error, "window_to": naive(latest)}', '{"error_code": error_code, "error": error}'),),
          WORLD),
    Plant("what a dead run was submitting is looked for only where it was planned",
          (("operations:give_up_submitting", "            window_to=no_sooner_than(sa.literal(naive(latest), sa.DateTime)),\n", ""),),
          "pytest test_operations -k dead_run_may_have_sent"),
    Plant("a live run's window ends where it was planned",
          (("evidence:is_near", "        claim.is_live or candidate.created_at <=", "        candidate.created_at <="),),
          "pytest test_evidence"),
    Plant("what another run is submitting is left out of the results",
          (("states:_is_of_another_run", "return take_status.state is State.SUBMITTING and not take_status.tried_here", "return False"),),
          matrix("another run is submitting it")),
    Plant("a run that has stopped still sends",
          (("submissions:Submissions.submit", "                if not self._stop_signal.is_buying:", "                if False:"),),
          "pytest test_order -k once_the_run_has_stopped"),
    Plant("each run keeps the account's limits for itself",
          (("grants:acquire_starts", "grant_starts(int(counted), next_free_at,", "grant_starts(0, next_free_at,"),),
          "pytest test_limits -k kept_full"),
    Plant("prune takes the newest attempt too",
          (("ledger.pruning:_prunable_rows", "NEWEST.c.attempt_no > ATTEMPT.c.attempt_no)", "NEWEST.c.attempt_no >= ATTEMPT.c.attempt_no)"),),
          "pytest ledger/test_pruning -k newest_attempt_stays"),
    Plant("prune removes what the keeper does not have",
          (("ledger.pruning:_move", "        keep(group.name, _as_table(group.schema, rows))\n", ""),),
          "pytest ledger/test_pruning -k does_not_take"),
    Plant("prune forgets what failed attempts cost",
          (("ledger.pruning:_shorten", ".values(error=REMOVED,", ".values(error=REMOVED, quoted_microusd=None,"),),
          "pytest ledger/test_pruning -k stays_what_it_was"),
    Plant("prune clears what may settle a take",
          (("ledger.pruning:_prunable_rows", 'yield _PrunableRows("polls", ATTEMPT, sa.and_(is_settled, has_details)', 'yield _PrunableRows("polls", ATTEMPT, has_details'),),
          "pytest ledger/test_pruning -k young_or_open"),
    Plant("synchronous is off",
          (("ledger.sqlite_file:_harden", "PRAGMA synchronous=EXTRA", "PRAGMA synchronous=OFF"),),
          POWER, "sqlite"),
    Plant("the key in a log",
          (("transport:_what", '    return f"{request.method}', '    import logging\n    logging.getLogger("animatic").warning("%s", dict(request.headers))\n    return f"{request.method}'),),
          "pytest test_client -k key_shows"),
    Plant("the key in an error of the API's is kept",
          (("client:WaveSpeedClient._fetch", "clean = without_key(reply.body, self._key)", "clean = reply.body"),),
          matrix("the key echoed in an error")),
    Plant("results are written in place",
          (("disk:replace_file", "    with replacement(target) as file:\n", "    with target.open('wb') as file:\n        file.write(b'PAR1 half of it')\n        file.flush()\n        file.seek(0)\n"),),
          lines("half of it")),
    Plant("addresses are not judged",
          (("public_web:PublicResolver.judge", "if (private or not found) and not is_trusted:", "if False:"),),
          URLS),
    Plant("no receipts",
          (("receipts:Entry.keep", "        await self._receipts.write(self.number, record)", "        _ = record"),),
          matrix("full when the reply is to be written")),
    Plant("a receipt for another intent is believed",
          (("settling:_open_intent", "ATTEMPT.c.attempt_id == attempt_id, ATTEMPT.c.nonce == nonce", "ATTEMPT.c.attempt_id == attempt_id"),),
          "pytest test_recovery"),
    Plant("a ledger that cannot be written does not stop the run",
          (("submissions:Submissions.submit", "                intended = await self._ledger.intend(intent)\n",
            "                try:\n                    intended = await self._ledger.intend(intent)\n                except LedgerError:\n                    from animatic.ledger.records import Intended; intended = Intended(0, self.progress.reserved, 0)\n"),
           ),
          matrix("full when the intent is to be written")),
    Plant("a gone ledger is made anew",
          (("location:require_not_lost", "if remembered is not None and (not ledger.exists() or ledger.stat().st_size == 0):", "if False:"),
           ("location:remember", "    if remembered is not None:\n        raise", "    if False:\n        raise")),
          matrix("the ledger is gone, empty or another one"), "sqlite"),
    Plant("a damaged ledger is used",
          (("ledger.sqlite_file:SqliteFile.require_sound", '        if found != ["ok"]:', "        if False:"),),
          matrix("the ledger is damaged"), "sqlite"),
    Plant("a stopped run is taken for dead",
          (("liveness:is_alive", "    except BlockingIOError:\n        return True", "    except BlockingIOError:\n        return False"),),
          matrix("a run is stopped in the middle of a submission"), "sqlite"),
    Plant("401, 402 and 403 do not stop the run",
          (("submissions:Submissions._conclude", "                case AccountRefused():\n                    self._stop_signal.refuse_account(outcome.message, polls=True)\n", "                case AccountRefused():\n"),),
          matrix("401, 402, 403")),
    Plant("the budget counts only what is finished",
          (("operations:reserve", "    if intent.max_microusd is None:\n        changed", "    if True:\n        changed"),),
          matrix("the budget is smaller than the plan")),
    Plant("our clock dates the window",
          (("server_clock:_moment_of", "    return moment.astimezone(UTC) if moment.tzinfo is not None and moment.year in PLAUSIBLE_YEARS else None\n", "    return None\n"),),
          matrix("the API's clock is 30 days from ours")),
    Plant("a final answer is written over",
          (("statements:move_to", "is_allowed = sa.or_(*(ATTEMPT.c.state == state for state in allowed_from))", "is_allowed = sa.true()"),),
          "pytest test_operations -k contradicts"),
    Plant("a final answer ends a hold that a person must end",
          (("statements:finish_as", ".where(_IS_ENDED_BY_AN_ANSWER)", ""),),
          "pytest test_operations -k person"),
    Plant("one id for two takes holds only one of them",
          (("operations:accept", "    if State(state) is State.SUBMITTED:\n", "    if False:\n"),),
          matrix("one id for two takes")),
    Plant("the take's number is no part of the fingerprint",
          (("shots:digest", "{asked}{take}}}", "{asked}1}}"),),
          matrix("two takes that ask for exactly the same")),
    Plant("a refusal without a code is taken for unknown",
          (("outcomes:classify", "if is_refusal(http):", "if is_refusal(http) and envelope is not None and envelope.code is not None:"),),
          matrix('400, {"error": …}', "422, plain text")),
    Plant("a 407 is taken for a refusal of the take",
          (("outcomes:classify", "    if http == PROXY_REFUSAL:\n", "    if False:\n"),
           ("outcomes:is_refusal", "ACCOUNT_REFUSALS | {BUSY, PROXY_REFUSAL}", "ACCOUNT_REFUSALS | {BUSY}")),
          matrix("407 of a proxy")),
    Plant("a refusal is believed though it names a prediction",
          (("outcomes:classify", "if accepted is not None:", "if accepted is not None and not is_refusal(reply.status):"),),
          matrix("400 around a prediction id")),
    Plant("a flag that is null is read as clean",
          (("json_values:flag_in", "return value if isinstance(value, bool) else None", "return bool(value)"),),
          matrix("a completed reply that is odd around its outputs")),
    Plant("a discounted price of 0 is believed",
          (("amounts:quoted_price", '    discounted = believed(data.get("discounted_price"))\n', '    discounted = 0 if data.get("discounted_price") == 0 else believed(data.get("discounted_price"))\n'),),
          matrix("a discounted price of 0")),
    Plant("a base price is taken for a price",
          (("amounts:price_of", "if quote is not None and not quote.is_floor:", "if quote is not None:"),),
          matrix("only a base price can be had")),
    Plant("prices are never refreshed",
          (("request:Requests._is_to_quote", "return self._now() >= self._ask_at.get(price_class, 0.0)", "return price_class not in self._quotes"),),
          matrix("the price rises during a run with a limit")),
    Plant("a run with a limit goes on at the last quote for ever",
          (("request:Requests._go_on_without", "if is_quoted and self._now() - (quoted_at or 0.0) > config.last_quote_s:", "if False:"),),
          matrix("the price goes away during a run with a limit")),
    Plant("what was not bought stays reserved",
          (("operations:conclude", "0 if state in PAID else -1", "0"),),
          matrix("400")),
    Plant("the limit that was agreed to is not the run's limit",
          (("order:Order.max_microusd", "return min(given, default=agreed_microusd)", "return min(given, default=None)"),),
          "pytest test_rules -k agreed"),
    Plant("the day's budget is not held in the transaction",
          (("spending:spend", "    if intent.day_microusd is None:\n", "    if True:\n"),),
          "pytest ledger/test_spending -k at_once"),
    Plant("what was not bought stays reserved on its day",
          (("operations:_add_back", "        spending.give_back(db, provider, day, price)\n", "        pass\n"),),
          "pytest ledger/test_spending -k given_back"),
    Plant("a take is bought with money that its source needs",
          (("reach:_in_order", "order.update(dict.fromkeys(reversed(chain)))", "order.setdefault(take)"),),
          "pytest planning/test_reach -k further_down"),
    Plant("a list below its own total is believed",
          (("evidence:contradiction_in", "    if reading.total is not None and shown != reading.total:\n", "    if False:\n"),),
          matrix("a list that shows fewer than its own total")),
    Plant("a list with items that cannot be read is believed",
          (("evidence:contradiction_in", "    if reading.unreadable:\n", "    if False:\n"),),
          matrix("one item of the list cannot be read", "a page of the list whose items are null")),
    Plant("a list that names another model is believed",
          (("evidence:contradiction_in", "    if reading.other_models:\n", "    if False:\n"),),
          matrix("a list that names another model than was asked for")),
    Plant("a list that ends before its end is believed",
          (("buying.reconcile:_Scanner._read_list", "if page.has_more else None", "if False else None"),),
          matrix("a list that ends, and says that there is more")),
    Plant("a list that shows what lies outside of its window is believed",
          (("evidence:contradiction_in", "    if outside:\n", "    if False:\n"),),
          matrix("a list that shows what lies outside of the window")),
    Plant("a list that lacks a known prediction is believed",
          (("evidence:contradiction_in", "    if missing:\n", "    if False:\n"),),
          matrix("a list without a prediction that is known to be there")),
    Plant("absence needs no prediction that is known to be in the list",
          (("evidence:contradiction_in", "    if reading.witness is None:\n", "    if reading.witness is None:\n        return None\n    if False:\n"),),
          matrix("an empty list of an account of which nothing is known")),
    Plant("a prediction that fits model and time is adopted by itself",
          (("evidence:judge", 'verdict.by == "window" and not adopts_by_window:', 'verdict.by == "":'),),
          matrix("a prediction that only model and time speak for")),
    Plant("the bill is not read",
          (("buying.reconcile:_Scanner.read", "        await self._read_bill()\n", ""),),
          matrix("the bill names a prediction that the list does not show")),
    Plant("results are not asked what they were made of",
          (("buying.reconcile:_Scanner.read", "        await self._ask_what_they_were_made_of(claims)\n", ""),),
          matrix("only the result of a prediction says what it was made of")),
    Plant("the list's clock is taken for that of Date",
          (("settling:claims", "return [shifted(_claim(row), shift) for row in rows]", "return [_claim(row) for row in rows]"),),
          matrix("`Date` and created_at are 30 minutes apart")),
    Plant("a retry of another run's retry is allowed",
          (("ledger.newest:_seen_by_run", "sa.func.coalesce(attempts.c.ended_run_no, 0) < _RUN_NO", "sa.true()"),),
          matrix("two runs with --retry-failed")),
    Plant("blanks at the end make another take",
          (("canonical:canonical_text", '    return _EDGES.sub("", text)\n', "    return text\n"),),
          matrix("blanks at the end, other line ends, a signed URL")),
    Plant("the number of intents is not written beside the ledger",
          (("face:Ledger.intend", "            self.note_intents(intended.intents)\n", ""),),
          matrix("a ledger restored from a backup")),
    Plant("a ledger that was restored is accepted",
          (("location:require_not_restored", "    if intents < noted:\n", "    if False:\n"),),
          matrix("a ledger restored from a backup")),
    Plant("what a dead run left open of a row that is gone is not told",
          (("lookup:find_open", "(dropped if each.manifest == uri and is_left else elsewhere).append(each)", "elsewhere.append(each)"),),
          matrix("a take whose row was taken out of the manifest")),
    Plant("a take that is never final keeps its place",
          (("poller:Poller.poll_until_final", "ends_at = min(began + self._config.take_deadline_s, max(gives_up_at, began))", "ends_at = began + self._config.take_deadline_s"),),
          matrix("a take that is not final for too long")),
    Plant("a take that is never final is not held by who watches it",
          (("poller:Poller.poll_until_final", "            if self._now() >= gives_up_at:\n", "            if False:\n"),),
          matrix("a take that is not final for too long")),
    Plant("what is held is never looked at again",
          (("unsettled:stuck", "sa.or_(is_held, is_old)", "is_old"),),
          matrix("a take that is not final for too long")),
    Plant("a take that was given up by hand is bought again without leave",
          (("by_hand:abandon_by_hand", "    move(db, attempt.attempt_id, State.FAILED, values)\n", '    declare_absent(db, attempt.attempt_id, "operator", error)\n'),),
          matrix("a prediction of another account")),
    Plant("the URL of a still that could not be fetched is kept",
          (("shoot:Shoot._forget_unreachable", "record is not None and record.error_code == UNREACHABLE", "record is None"),),
          matrix("an uploaded still is gone")),
    Plant("what WaveSpeed accepted may be declared absent by hand",
          (("by_hand:absent_by_hand", "if State(attempt.state) is State.HELD and attempt.held_for in POLLED:", "if attempt is None:"),),
          "pytest test_settling -k declared_absent"),
    Plant("children import from the folder that the command was typed in",
          (("child_processes:_started", '[sys.executable, "-P", *arguments],', "[sys.executable, *arguments],"),
           ("child_processes:_started", "cwd=child_folder(),", "cwd=__import__('animatic.machine.start_folder').start_folder.start_folder(),"),
           ("process:child_environment", ', "PYTHONSAFEPATH": "1"}', "}")),
          matrix("files beside the manifest that Python or Prefect would read")),
    Plant("Prefect reads its settings in the folder that the command was typed in",
          (("process:settle_in", "    leave(child_folder())\n", "    child_folder()\n"),
           ("prefect_api:_of_one_run", '        "PREFECT_LOGGING_SETTINGS_PATH": str(nowhere),\n', "")),
          matrix("files beside the manifest that Python or Prefect would read")),
    Plant("a Prefect server that dies spoils a run whose results are written",
          (("launch:run_flow", "    if run.summary is not None and run.problem is None:\n", "    if run.summary is not None and run.problem is None and end.untold is None:\n"),),
          matrix("its server is killed midway")),
    Plant("a run does not ask Prefect whether it may go on",
          (("stop_request:is_stop", "return state.type in _STOPS", "return False"),),
          matrix("the run is cancelled in Prefect midway")),
    Plant("calls to our own servers go through the proxy",
          (("process:settle_in", "    reach_loopback_directly()\n", ""),),
          matrix("a proxy for everything, and no exception for loopback")),
    Plant("connections are not fitted to the open files there may be",
          (("process:connections_that_fit", "return max((files - _FILES_IN_USE) // 2, 4)", "return 4_096"),),
          matrix("few open files")),
    Plant("SIGHUP is not handled",
          (("process:ending_signals", "return (signal.SIGINT, signal.SIGTERM) if is_ignored else (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)", "return (signal.SIGINT, signal.SIGTERM)"),),
          matrix("the terminal is closed, and closed again")),
    Plant("a second Ctrl-C waits for replies like the first",
          (("interrupts:Interrupts._interrupt", "            self.hurried.set()\n", "            pass\n"),),
          matrix("a second Ctrl-C while a reply hangs")),
    Plant("the first line to a broken pipe ends the run",
          (("terminal:_unless_gone", "    except OSError:  # EPIPE, or EIO of a terminal that was closed\n        print_nowhere(stream)", "    except OSError:\n        raise"),
           ("terminal:PlainConsole.on_broken_pipe", "        print_nowhere(self.file)  # pyright: ignore[reportArgumentType]", "        os._exit(1)")),
          matrix("the reader of its output is gone")),
    Plant("the shared sandbox ends with the run that started it",
          (("sandbox.__main__:_watch_stdin.read_to_the_end", "        wait_until_unused(folder)\n", ""),),
          matrix("two runs share the embedded sandbox, and the first ends first")),
    Plant("columns that people added are dropped",
          (("writer:ResultsWriter.write", "kept = None if old is None else await self._kept(uri, old, stack, aside)", "kept = None"),),
          matrix("columns that people added to the results")),
    Plant("nested text counts for nothing",
          (("spelled:cell_bytes", "    sizes = _bytes_of(cells)\n    if cells.null_count:", "    sizes = _bytes_of(cells) * 0\n    if cells.null_count:"),),
          matrix("a small Parquet file with nested text of hundreds of megabytes")),
    Plant("a clip has its name before it is whole",
          (("media.archive:Archive._download", "            found = await downloader", '            incoming.put(f"{names[0]}.mp4")\n            found = await downloader'),),
          ARCHIVING),
    Plant("an archived clip is not recorded",
          (("media.archive:Archive._add", "        await self._ledger.keep_clips([kept])\n", ""),),
          ARCHIVING),
    Plant("a clip that a dead run booked is left alone",
          (("media.archive:Archive._add", "is_theirs = self.problem is not None and", "is_theirs = True or"),),
          ARCHIVING),
    Plant("a purchase after attempts that bought nothing is not taken over from a table",
          (("ledger.importing:_is_later", " or bool(is_new and attempts > paid)", ""),),
          "pytest ledger/test_importing -k bought_nothing"),
    Plant("a manifest that changed after its end is done for ever",
          (("planning.inbox:next_step", " and known.ended_at >= known.marked_at", ""),),
          "pytest planning/test_inbox -k after_its_end"),
    Plant("a clip that its first run kept after all is given up",
          (("ledger.clips:give_up", "*_as_read(known)", "CLIP.c.clip_id == known.clip_id"),),
          "pytest ledger/test_face -k clip_that_is_kept"),
    Plant("a batch of clips is taken though another worker was faster",
          (("ledger.media:MediaBatches.take", "*_as_read(batch)", "MEDIA.c.batch_id == batch.batch_id"),),
          "pytest ledger/test_media -k of_workers_that_read"),
    Plant("a media worker takes the batch of one that is at work",
          (("media_batches:is_free", "return is_of_a_worker and (batch.silent_s or 0.0) >= SILENT_S and", "return is_of_a_worker and"),),
          "pytest takes/test_media_batches -k takes_the_oldest"),
    Plant("a media worker takes the batch of one that is at work, since its run has ended",
          (("media_batches:is_orphan", "not is_alive(batch.run_id) and not is_alive(batch.holder or batch.run_id)", "not is_alive(batch.run_id)"),),
          "pytest takes/test_media_batches -k orphan"),
    Plant("any file of its name is taken for the clip",
          (("media.archive:Archive._put", "if not self.folder.holds(file, sha256, size_bytes):", "if not sha256:"),),
          "pytest sandbox/test_archive -k foreign"),
    Plant("a download that breaks off is taken for whole",
          (("downloads:ClipDownloader._stream", "if partial.total_bytes is not None and partial.size_bytes != partial.total_bytes:", "if partial.total_bytes == -1:"),
           ("downloads:ClipDownloader._resumed", "                if not (partial.has_moved and partial.validator):\n                    raise", "                if partial.suffix:\n                    return Download(partial.hash.hexdigest(), partial.size_bytes, partial.suffix)\n                raise")),
          "pytest media/test_downloads"),
    Plant("a dead URL is not asked for anew",
          (("media.archive:Archive._fetched", "if not may_pass and not has_asked:", "if False:"),),
          "pytest sandbox/test_archive -k asked_for_anew"),
    Plant("a full disk fails one clip after the other",
          (("media.archive:Archive._require_room", "if isinstance(error, OSError) and error.errno in _FULL:", "if False:"),),
          "pytest sandbox/test_archive -k full_disk"),
    Plant("a run of a plan buys takes that the plan does not name",
          (("purchases:Purchases.within", "is_allowed = is_named & (", "is_allowed = np.ones_like(is_named) | ("),),
          "pytest planning/test_purchases"),
    Plant("a run of a plan buys a take again that failed since",
          (("purchases:Purchases.within", "(~is_answered | (plan.snapshot.attempt_id == planned))", "(~is_answered | (planned >= 0))"),),
          "pytest planning/test_purchases"),
    Plant("the flow forgets what the plan names",
          (("flows.planning:plan_takes", "        purchases=session.purchases,\n", ""),),
          "pytest test_plan_files -k named_to_it"),
    Plant("a plan that was edited is carried out",
          (("plan_file:_Reader.read", "        if last != ", "        if not last and last != "),),
          "pytest test_plan_file"),
    Plant("a price above that of the plan is paid",
          (("moves:agreed_prices", "is_moved = now != before", "is_moved = False"),),
          "pytest test_moves -k price"),
    Plant("an estimate is a price that nobody accepted",
          (("moves:Allowed.most_for", "price.estimated_usd if self.accepts_estimates else None", "price.estimated_usd"),),
          "pytest test_moves -k allowed_by_name"),
    Plant("the limit of a plan counts what was bought since",
          (("moves:agreed_prices", "(most_each or 0) * count *", "(most_each or 0) * price.takes *"),),
          "pytest test_moves -k bought_since"),
    Plant("a refund on the bill counts as a charge",
          (("bill_items:totals_of", 'found["refunded"] += each.microusd or 0', 'found["charged"] += each.microusd or 0'),),
          "pytest sandbox/test_bill -k account_to_the_millionth"),
    Plant("a charge of no take is not named",
          (("billing.comparison:_line_of_no_take", "differences = () if may_be_ours else", "differences = () if True else"),),
          matrix("another client buys on the account too")),
    Plant("a failed take that is never refunded stays pending",
          (("billing.comparison:_line_of", "is_due = moment.now - (bought.ended_at or bought.bought_at) < SETTLES_WITHIN", "is_due = True"),),
          "pytest sandbox/test_bill -k account_to_the_millionth"),
    Plant("the bill ends once as many items were met as it had at first",
          (("billing.reading:_read_pages", "if page.total is not None and len(met) + unreadable >= page.total", "if reading.total is not None and len(met) + unreadable >= reading.total"),),
          "pytest results/billing/test_reading -k pushes_none"),
    Plant("a bill that was read in part misses charges",
          (("billing.comparison:Moment.misses", "self.is_whole and ", ""),),
          "pytest results/billing/test_comparison -k not_read_to_its_end"),
    Plant("a changed still buys whatever is the newest attempt by then",
          (("renewals:seen_by", "newest.attempt_id != replaces or ", ""),),
          "pytest ledger/test_looks -k bought_again_once"),
    Plant("a changed still buys beside attempts under an older name",
          (("renewals:seen_by", " or not newest.is_only", ""),),
          "pytest ledger/test_looks -k older_name"),
    Plant("an attempt for a changed still that bought nothing hides the clip",
          (("ledger.schema:NEWEST", "        ~bought_nothing_again(ATTEMPT),\n", ""),),
          "pytest ledger/test_looks -k bought_nothing"),
    Plant("a plan takes the last attempt that it reads for the newest of its take",
          (("ledger.snapshot:snapshot_of", "sought = takes[builder.tried_again()]", "sought = takes[:0]"),),
          "pytest ledger/test_newest -k snapshot_is_that_of_the_records"),
    Plant("a purchase forgets what was seen before it",
          (("operations:intend", "        looks.bind(db, attempt_id, intent.looks)\n", "        pass\n"),),
          "pytest ledger/test_looks -k keeps_what_it_was_bought_with"),
    Plant("what a dead run bought again for a changed still is free to be bought again",
          (("operations:give_up_submitting", "state=State.UNKNOWN.value,", "state=State.UNSENT.value,"),),
          "pytest ledger/test_looks -k dead_run"),
    Plant("a run waits for its quality checks, however long they take",
          (("flows.checking:Checking.check_rest", "timeout=within_s, ", ""),),
          "pytest flows/test_quality -k left_once_their_time"),
    Plant("a stretch that lasts to the end of a clip is not counted",
          (("clip_measures:_measure", "    seen.end(last_s + frame_s)\n", ""),),
          "pytest media/test_clip_measures -k counts_to_the_last_frame"),
    Plant("what is black counts as frozen too",
          (("clip_measures:_measures", "less(seen.frozen, black)", "seen.frozen"),),
          "pytest media/test_clip_measures -k is_not_frozen"),
    Plant("a clip has what was found of another file",
          (("quality:IS_OF_CLIP", ", QUALITY.c.sha256 == CLIP.c.sha256", ""),),
          "pytest ledger/test_quality -k that_very_file"),
    Plant("transactions of two machines take no turns",
          (("postgres_server:_TAKE_TURN", "BEGIN; {_TURN}", "BEGIN"),),
          "pytest ledger/test_postgres_server -k take_turns", "postgresql"),
    Plant("money takes no turn where it shares a transaction with work on clips",
          (("transactions:Transactions._in_one_transaction", "any(operation.takes_turn for", "all(operation.takes_turn for"),),
          "pytest ledger/test_postgres_server -k take_turns", "postgresql"),
    Plant("a commit whose reply is lost is taken for failed",
          (("postgres_server:PostgresServer.has_committed", "return connection.execute(_FIND_MARK, of).fetchone() is not None", "return False"),),
          matrix("the reply to each second COMMIT is lost"), "postgresql"),
    Plant("a commit that was lost on its way is taken for done",
          (("postgres_server:PostgresServer.has_committed", "return connection.execute(_FIND_MARK, of).fetchone() is not None", "return True"),),
          matrix("each second COMMIT is lost on its way"), "postgresql"),
    Plant("a number that a crash gave to another transaction counts as that of the first",
          (("postgres_server:PostgresServer.has_committed", "return connection.execute(_FIND_MARK, of).fetchone() is not None",
            "return connection.execute(_STATUS, (mark.transaction,)).fetchone() == ('committed',)"),),
          "pytest ledger/test_postgres_server -k number_is_reused", "postgresql"),
    Plant("a server that has crashed is asked for ever what became of a commit",
          (("postgres_server:_is_under_way", "return False\n", "return True\n"),),
          "pytest ledger/test_postgres_server -k number_is_reused", "postgresql"),
    Plant("what a lost line took with it is not run again",
          (("postgres_server:PostgresServer.is_lost", "        state = _sqlstate(error)\n", "        return False\n        state = _sqlstate(error)\n"),),
          matrix("the server is killed midway"), "postgresql"),
    Plant("a run holds no lock on the server",
          (("postgres_sessions:Sessions.hold", "self._connected().execute(_HOLD, (_key_of(run_id),))", "self._connected()"),),
          "pytest ledger/test_postgres_server -k dead_once_it_is_killed", "postgresql"),
    Plant("a session that could not take its locks again is kept",
          (("postgres_sessions:Sessions._connected", "        made = self._server.connect()\n", "        made = self._connection = self._server.connect()\n"),
           ("postgres_sessions:Sessions._connected", "            made.close()  #", "            pass  #")),
          "pytest ledger/test_postgres_server -k cannot_take_its_locks", "postgresql"),
    Plant("runs are called dead right after our own session was lost",
          (("postgres_sessions:Sessions._alive", "self._remade_at_s < GRACE_S", "self._remade_at_s < 0"),),
          "pytest ledger/test_postgres_server -k called_dead_right_after", "postgresql"),
    Plant("a run goes on buying on a ledger that was copied elsewhere",
          (("postgres_server:PostgresServer.mark", "if moved_to is not None:", "if moved_to == '':"),),
          "pytest ledger/test_postgres_server -k cut_off_while", "postgresql"),
    Plant("a run goes on buying on a standby that lacks the newest intents",
          (("postgres_server:PostgresServer.mark", "if intents < self._intents:", "if intents < 0:"),),
          "pytest ledger/test_postgres_server -k lacks_what_it_has_seen", "postgresql"),
    Plant("two schemas have one ledger and two turns",
          (("postgres_server:PostgresServer._require_fit", "elif found_in not in {None, schema}:", "elif found_in == '':"),),
          "pytest ledger/test_postgres_server -k between_two_schemas", "postgresql"),
    Plant("a session that was made again holds no locks",
          (("postgres_sessions:Sessions._connected", "                made.execute(_HOLD, (_key_of(run_id),))\n", "                pass\n"),),
          "pytest ledger/test_postgres_server -k alive_again", "postgresql"),
    Plant("a run is called dead although the server has just started",
          (("postgres_sessions:Sessions._alive", "== (True,)", "== ()"),),
          matrix("a run on another machine while the server starts again"), "postgresql"),
    Plant("a host that vanished is never seen by us",
          (("postgres_server:_TCP", '"keepalives_idle": 10', '"keepalives_idle": 7_200'),),
          "pytest ledger/test_postgres_server -k vanished", "postgresql"),
    Plant("a host that vanished is never seen by the server",
          (("postgres_server:_SESSION", '"tcp_keepalives_idle": "10"', '"tcp_keepalives_idle": "7200"'),),
          "pytest ledger/test_postgres_server -k vanished", "postgresql"),
    Plant("a stopped process keeps its turn for ever",
          (("postgres_server:_SESSION", '"idle_in_transaction_session_timeout": f"{IDLE_S}s"', '"idle_in_transaction_session_timeout": "0"'),),
          "pytest ledger/test_postgres_server -k vanished", "postgresql"),
    Plant("a submission is sent long after its intent",
          (("submissions:Submissions.submit", "if unstopped_s() - asked_s > SENT_WITHIN_S:", "if False:"),),
          matrix("a run stands still between intent and POST"), "postgresql"),
    Plant("commits are as durable as the server likes",
          (("postgres_server:_GREET", "IN ('off', 'local')", "IN ('never')"),),
          "pytest ledger/test_postgres_server -k durable", "postgresql"),
    Plant("a server without fsync is used",
          (("postgres_server:PostgresServer._require_fit", 'elif fsync != "on" or full_page_writes', "elif full_page_writes"),),
          "pytest ledger/test_postgres_server -k cannot_hold", "postgresql"),
    Plant("a pooler is used",
          (("postgres_server:PostgresServer._require_fit", "if connection.info.backend_pid != pid:", "if False:"),),
          "pytest ledger/test_postgres_server -k cannot_hold", "postgresql"),
    Plant("a ledger that is gone from its server is made anew",
          (("postgres_server:PostgresServer.require_not_lost", "if self._known_id() is not None:", "if False:"),),
          matrix("the ledger is gone, empty or another one"), "postgresql"),
    Plant("another ledger on the server is used",
          (("postgres_server:PostgresServer.remember", "        if known is not None:\n", "        if False:\n"),),
          matrix("the ledger is gone, empty or another one"), "postgresql"),
    Plant("a password is shown",
          (("postgres_server:_without", 'return text.replace(secret, "***") if secret else text', "return text"),),
          "pytest ledger/test_postgres_server -k password", "postgresql"),
)  # fmt: skip


def plants_on(ledger: str) -> list[Plant]:
    """Return the bugs that can be caught on a backend of the ledger and are of it, or of any.

    On a server, a test that asks no ledger, or none of the backends' own, has nothing new to say.
    """
    if ledger == "sqlite":
        return [each for each in PLANTS if each.only_on != "postgresql"]
    return [each for each in PLANTS if each.only_on != "sqlite" and (each.only_on or _asks_ledger(each.check))]


def _asks_ledger(check: str) -> bool:
    return check != URLS and (not check.startswith("pytest ") or find_test(check.split()[1]).startswith(LEDGER_TESTS))


def try_plant(plant: Plant) -> tuple[str, bool, str]:
    """Result of one planted bug: caught, or what was seen instead."""
    tree = Path(tempfile.mkdtemp(prefix="animatic-plant-"))
    try:
        _copy_to(tree)
        for key, old, new in plant.edits:
            path, text = replace_within(key, old, new, tree)
            path.write_text(text)
        return plant.name, *_check(plant, tree)
    except LookupError as error:
        return plant.name, False, str(error)
    finally:
        shutil.rmtree(tree, ignore_errors=True)


def _copy_to(tree: Path) -> None:
    for name in ("animatic", "flows", "tasks", "tests", "pyproject.toml"):
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tree / name)


def red_without_a_bug(check: str) -> str:
    """Return the output of a test that is red on the code as it is, and so proves nothing; empty where it is green.

    Only tests are asked: what the others check is a part of the proof by itself.
    """
    if not check.startswith("pytest "):
        return ""
    tree = Path(tempfile.mkdtemp(prefix="animatic-unplanted-"))
    try:
        _copy_to(tree)
        done = _run(check, tree)
    except subprocess.TimeoutExpired:
        return f"not over within {MOST_S[backend()]} s"
    finally:
        shutil.rmtree(tree, ignore_errors=True)
    return "" if done.returncode in {0, NONE_SELECTED} else (done.stdout + done.stderr)[-600:]


def _run(check: str, tree: Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": f"{tree}:{tree / 'tests'}", "PYTHONDONTWRITEBYTECODE": "1"}
    if check.startswith("pytest "):
        _, test, *rest = check.split()
        if is_on_server() and find_test(test, tree).startswith(LEDGER_TESTS):
            rest = ["-k", f"({rest[1]}) and postgresql" if rest else "postgresql"]
            environment["ANIMATIC_TEST_POSTGRESQL"] = os.environ[SERVER].partition("?")[0]
        arguments = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", find_test(test, tree), *rest]
    else:
        arguments = ["-c", f"import sys; {check}; print(part); sys.exit(0 if part.is_green else {RED})"]
    return subprocess.run(
        [sys.executable, *arguments], cwd=tree, env=environment, capture_output=True, text=True, check=False,
        timeout=MOST_S[backend()],
    )  # fmt: skip


def _check(plant: Plant, tree: Path) -> tuple[bool, str]:
    try:
        done = _run(plant.check, tree)
    except subprocess.TimeoutExpired:
        return False, f"nothing was red within {MOST_S[backend()]} s"
    caught = done.returncode == (1 if plant.check.startswith("pytest ") else RED)
    if plant.only_on is None and is_on_server() and done.returncode == NONE_SELECTED:
        return True, INDEPENDENT
    sys.stderr.write(f"{plant.name}: {'caught' if caught else 'MISSED'}\n")
    return caught, "" if caught else (done.stdout + done.stderr)[-600:]


def run(names: list[str] | None = None) -> Part:
    """Every planted bug, or these."""
    began = time.monotonic()
    part = Part("planted bugs")
    caught: dict[str, bool] = {}
    there_are = plants_on(backend())
    with ThreadPoolExecutor(2) as pool:
        for name, is_caught, seen in pool.map(
            try_plant, [each for each in there_are if names is None or each.name in names]
        ):
            if seen == INDEPENDENT:
                continue
            part.points += 1
            part.faults_fired += is_caught
            caught[name] = is_caught
            if not is_caught:
                part.problems.append(f'the planted bug "{name}" was not caught: {seen}')
        checks = sorted({each.check for each in there_are if names is None or each.name in names})
        for check, said in zip(checks, pool.map(red_without_a_bug, checks), strict=True):
            if said:
                part.problems.append(f"{check} is red without a bug: {said}")
    part.details = {"caught": sum(caught.values()), "planted": len(caught), "bugs": caught}
    part.seconds = time.monotonic() - began
    return part


if __name__ == "__main__":
    result = run(sys.argv[1:] or None)
    print(*result.problems, sep="\n")
    print(result.details, result.seconds)
