"""Manifest and ledger: what there is to do, before anything is done."""
