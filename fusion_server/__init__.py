"""The fusion server: detections in, located and explained alerts out."""
