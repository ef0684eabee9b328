"""Who would get this payload? Reads it as its source does and asks for its route; records and starts nothing."""
