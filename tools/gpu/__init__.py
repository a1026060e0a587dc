"""What ``make gpu`` measures on a card, one section a file, and the page it writes."""
