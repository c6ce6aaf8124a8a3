"""Floor 3: pictures from pixels. NumPy; loaded only inside the worker processes of the pixels."""
