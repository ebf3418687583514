"""Guarded HTTP towards addresses that others name: which of them, through which proxy, trusted by whom."""
