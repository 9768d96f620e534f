"""Training of the face detector: scenes made from labelled photos, what each cell should say, fitting, figures."""
