"""Want, have, to do: the small machines that make the world agree with a plan."""
