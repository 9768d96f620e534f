"""What is learned: encoders, decoders and the autoencoder around them, in Keras; released bundles lie beside."""
