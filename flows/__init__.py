"""Flows that a person or a schedule starts, and the `animatic` command."""

from animatic.machine.own_packages import explain_missing_modules

explain_missing_modules()
