"""Stills in, clips out: what they are, and how they get from one place to another."""
