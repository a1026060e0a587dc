"""Several workers for one run: processes, Ray actors, shards."""
