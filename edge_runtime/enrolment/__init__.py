"""What it takes to become part of a gallery: from photos, or in front of a camera."""
