"""Reading runs from disk, statistics, tables, figures and the report; never torch."""
