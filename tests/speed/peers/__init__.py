"""The official procedures in naive forms, written from their rules, beside ours; see ``test_peers``."""
