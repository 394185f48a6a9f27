"""Coverage and planning: what a network would find, where more nodes help, what a failed one costs."""
