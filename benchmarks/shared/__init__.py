"""What several benchmarks need: data, measures, timing, tables, pictures."""
