"""The durable record of every take: written before money is spent, and never behind it."""
