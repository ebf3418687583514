"""One effect per Prefect task of animatic: named, logged and, where that is safe, retried by Prefect."""

from animatic.machine.own_packages import explain_missing_modules

explain_missing_modules()
