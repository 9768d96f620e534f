"""What every fit has in common: rates, precision, averages."""
