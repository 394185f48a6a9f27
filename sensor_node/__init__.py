"""The sensor node: audio in, timestamped impulse detections out."""
