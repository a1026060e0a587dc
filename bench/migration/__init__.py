"""Moving a memory to another encoder: what a map learnt on few items keeps of encoding all of them again."""
