"""Measurements of speed, memory and quality; each prints a table and writes JSON."""
