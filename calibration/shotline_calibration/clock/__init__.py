"""How good a node's clock is: pulse residuals, Allan deviation, holdover, and the constant delay of its hardware."""
