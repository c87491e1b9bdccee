"""Solvers, schedules and guidance for ComfyUI's samplers."""
