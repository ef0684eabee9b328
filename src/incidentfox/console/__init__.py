"""The console: the web pages for people. FLOOR 5: speaks to the services through their clients only."""
