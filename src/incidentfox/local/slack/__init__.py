"""A small workspace with the shape of Slack's Web API, for a machine without Slack.

The process is `python -m incidentfox.local.slack`. The product posts to it through the same `slack_sdk` client as to
Slack itself, with another base URL (`http://127.0.0.1:<port>/api/`). What was posted is kept as JSON lines and shown
at `GET /messages`.

    __main__  settings  the process and its environment
    app                 routes: the Web API, the page for people
    arguments           reading a call as slack_sdk sends it
    workspace           channels and messages, on disk
    page                the HTML
"""
