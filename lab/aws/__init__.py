"""AWS, stood in for on one machine."""
