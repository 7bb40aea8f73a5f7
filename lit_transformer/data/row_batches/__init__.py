"""From prepared rows to what each network takes: one maker for each kind of task and objective."""
