"""Files that somebody made to hurt: seeded mutations of models, manifests and signatures."""
