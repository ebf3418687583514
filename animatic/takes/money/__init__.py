"""Amounts of money, and which prices to believe. Pure."""
