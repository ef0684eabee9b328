"""One module a page: thin handlers that ask the services and choose a template."""
