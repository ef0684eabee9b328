"""The laptop: embedded Postgres, keys, process supervisor, demo shop; what `up`, `down`, `demo` and `doctor` call."""
