"""What a network says of its own nodes, from the ordinary sounds that it located."""
