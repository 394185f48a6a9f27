"""The versions of the tables, each building on the one before."""
