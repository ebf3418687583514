"""Polling: which take to poll at which time, and the meaning of a poll's answer."""
