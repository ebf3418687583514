"""This machine: our folders, the folder that relative paths start from, permissions, and what a power cut leaves."""
