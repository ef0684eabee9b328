"""What every HTTP service is made of: app, authentication, problems, pages, server-sent events. Never imports db."""
