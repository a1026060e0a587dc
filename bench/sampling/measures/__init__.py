"""What scenarios measure beside accuracy: one question a module."""
