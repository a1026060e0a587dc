"""What every part of a report uses: words for people, names of files, random numbers, plug-ins."""
