"""The demo's shop: three small HTTP services on the embedded Postgres, their load, their monitor, and one bad deploy.

    load ──> web ──> orders ──> inventory ──> Postgres (database `shop`)
              └────────┴────────────┴──> monitor ──signed webhook──> the product

Every arrow is a real process and a real request; nothing is simulated. `scenario.py` starts it and drives the incident;
`releases/` holds the versions that get deployed, whose diff the change feed shows. The product knows none of this: it
reads the monitor's four feeds and Postgres's own views, as it would read a customer's.
"""
