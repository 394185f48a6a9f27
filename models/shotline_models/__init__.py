"""The classifier: its data, training, judgement and export, and the part that a node runs, which needs no torch."""
