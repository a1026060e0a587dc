"""What a report is written as: the page, the terminal's text, the folder of files, an explanation's page."""
