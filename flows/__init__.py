"""What a person or a schedule starts: Prefect flows and the `animatic` command."""
