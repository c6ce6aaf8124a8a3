"""Floor 5: settings, wiring, lifecycle. The only place that knows everything."""
