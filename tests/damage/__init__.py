"""What kills and damage do to the databases, counted: nothing acknowledged is lost, nothing wrong is answered."""
