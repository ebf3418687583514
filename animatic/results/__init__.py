"""The results table: its columns, its formats, how it is written from the ledger, read and summarised."""
