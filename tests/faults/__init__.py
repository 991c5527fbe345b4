"""What the router does while one of its servers is sick: real servers, real faults, one table of what is told."""
