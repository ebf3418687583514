"""One effect per Prefect task: named, logged and, where that is safe, retried by Prefect."""
