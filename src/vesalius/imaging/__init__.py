"""Floor 3: pictures and volumes from pixels. NumPy; loaded when the first of them is asked for."""
