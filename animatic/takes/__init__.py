"""Shots and takes: what is asked for, by which fingerprint it is known, its states, and the evidence of it. Pure."""
