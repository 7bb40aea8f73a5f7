"""Rows of every source, as they stand there, and what a task makes of them: texts by column, labels, prompts."""
