"""Where a team's signals are read from: one protocol, a live backend over HTTP and Postgres, and recordings."""
