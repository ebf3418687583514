"""Replies to submissions and polls: one case a scenario of the sandbox."""

from torture.matrix.stage import CASES, Setup, posts_to, stats_of


def scenario_case(group: str, name: str, promise: str, token: str, states: set[str], accepted: int) -> None:
    """A case of one take with a scenario: its ending, its count of acceptances, and that a second run sends nothing."""

    async def work(setup: Setup) -> bool:
        async with setup.sandbox():
            takes = setup.takes(f"[sandbox:{token}] a take")
            await setup.run(takes, not_found_grace_s=0.3)
            sent = await posts_to(setup)
            found = await setup.states(takes)
            assert found[0] in states, found
            assert len(setup.accepted) == accepted, setup.bought
            await setup.run(takes, not_found_grace_s=0.3, take_deadline_s=0.5)
            if "planned" not in states and "unsent" not in states:
                assert await posts_to(setup) == sent, "the second run sent it again"
            assert all(count <= 1 for count in setup.bought.values()), setup.bought
            return (await stats_of(setup)).get(f"fired_{token.partition('=')[0]}", 0) > 0

    CASES[name] = (group, promise, work)


SURE = "bought at most once, ends where it should, and is not sent again"

for _name, _token, _states, _accepted in (
    ("reply lost after it was accepted", "lost-reply", {"completed"}, 1),
    ("connection reset before it was accepted", "reset-before", {"unknown"}, 0),
    ("500, not accepted", "server-error", {"unknown"}, 0),
    ("500, accepted", "server-error-billed", {"completed"}, 1),
    ("500 around a prediction id", "server-error-with-id", {"completed"}, 1),
    ("502 page of a gateway, not accepted", "bad-gateway", {"unknown"}, 0),
    ("502 page of a gateway, accepted", "bad-gateway=billed", {"completed"}, 1),
    ("408, accepted", "request-timeout=billed", {"completed"}, 1),
    ("409, not accepted", "conflict", {"unknown"}, 0),
    ("302 to another host", "redirect", {"unknown"}, 0),
    ("400", "rejects", {"rejected"}, 0),
    ("reply of garbage", "garbage=submit", {"completed"}, 1),
    ("reply cut in the middle", "cut-short=submit", {"completed"}, 1),
    ("reply that is half of its JSON", "half=submit", {"completed"}, 1),
    ("reply nested 100,000 deep", "deep=submit", {"completed"}, 1),
    ("reply without data", "null-data=submit", {"completed"}, 1),
    ("200 with another code, and an id", "code-500-in-200=submit", {"completed"}, 1),
    ("reply that drips past the deadline", "drip=submit", {"completed"}, 1),
    ("reply of 10 MB", "huge=submit", {"completed"}, 1),
    ("reply with wrong types around the id", "bad-types=submit", {"completed"}, 1),
    ("an id that is none", "bad-id", {"completed"}, 1),
):
    scenario_case("reply", _name, SURE, _token, _states, _accepted)

for _name, _token, _states in (
    ("looks answer 404 at first", "not-found=0.2", {"completed"}),
    ("looks answer 404 for ever", "not-found=600", {"held"}),
    ("looks answer 503, then 429", "unavailable=2", {"completed"}),
    ("looks answer garbage", "garbage=2", {"completed"}),
    ("looks break off", "cut-short=2", {"completed"}),
    ("looks nested 100,000 deep", "deep=2", {"completed"}),
    ("looks of 10 MB", "huge=1", {"completed"}),
    ("a look that drips", "drip=1", {"completed"}),
    ("an unknown status", "unknown-status", {"completed"}),
    ("a status that goes back and changes its case", "flaps=processing,created,Processing,completed", {"completed"}),
    ("never final", "stuck", {"submitted"}),
    ("completed without outputs", "empty", {"failed"}),
    ("wrong types in a look", "bad-types", {"submitted"}),
    ("an address for looks on another host", "foreign-get", {"completed"}),
    ("the key echoed in an error", "key-echo", {"failed"}),
    ("the key echoed in escapes", "key-echo=escaped", {"failed"}),
    ("control characters in an error", "control-characters", {"failed"}),
):
    scenario_case("status", _name, SURE, _token, _states, 1)
