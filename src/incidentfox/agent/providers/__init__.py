"""The model providers, one file each: a module that binds `provider` is found by the registry."""
