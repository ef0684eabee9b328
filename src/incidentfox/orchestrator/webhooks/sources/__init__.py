"""One file for each system that sends webhooks. A file that binds `SOURCE` to a `Source` is found by its folder.

The file's name is the `{source}` of `POST /webhooks/{source}/{endpoint_id}`.
"""
