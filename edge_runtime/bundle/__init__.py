"""What goes to a device: manifest, preprocessing, detector's data sheet, signature."""
