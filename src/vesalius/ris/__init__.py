"""Floor 3: the radiology workflow: patients, orders, schedule, what was performed, and what does not fit together."""
