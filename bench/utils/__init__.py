"""What knows nothing of this project's subject: errors, files, hashes, random streams, interrupts."""
