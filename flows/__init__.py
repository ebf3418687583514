"""Flows that a person or a schedule starts, and the `animatic` command."""
