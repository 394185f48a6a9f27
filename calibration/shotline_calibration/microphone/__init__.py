"""What a node's microphone is worth: its level in dB SPL, against its neighbours, over frequency, and where it ends."""
