"""What a daemon can be asked, with the same answers where no daemon runs."""
