"""Pure functions from token ids to what a network sees and what it must predict."""
