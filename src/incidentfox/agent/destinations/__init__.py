"""AND THE ANSWER LEAVES HERE. One file each: a module that binds `destination` is found by the registry."""
