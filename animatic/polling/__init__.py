"""When to poll which take, and what its polls show."""
