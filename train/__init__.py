"""Desktop side: photos in, Keras models out (``python -m train``)."""
