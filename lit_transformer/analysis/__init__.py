"""What the heads of trained networks do, and what a sweep says about their size; written as files beside the runs."""
