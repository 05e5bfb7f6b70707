"""Update processors, one file each: both sides of what happens to an update on its way."""
