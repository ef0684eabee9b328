"""The one typed client of each service. FLOOR 3: everybody who talks to a service does it through these."""
