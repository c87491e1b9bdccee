"""Do seeds of a distilled model look alike, and what helps: `python -m lumina_next.benchmarks.variety`."""
