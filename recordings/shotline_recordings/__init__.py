"""Recorded and simulated datasets: reading, writing, simulating, and scoring against truth."""
