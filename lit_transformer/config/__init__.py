"""Every setting, torch-free: schema, rules, loading, showing."""
