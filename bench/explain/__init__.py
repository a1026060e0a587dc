"""Why a method answered as it did, and what it would answer from an edited memory."""
