"""WaveSpeed's bill beside the ledger: what was charged, refunded, and differs. Buys nothing."""
