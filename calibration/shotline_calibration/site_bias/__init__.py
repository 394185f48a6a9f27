"""Site bias: excess delays of paths, learned from control shots and from shots whose place somebody found."""
