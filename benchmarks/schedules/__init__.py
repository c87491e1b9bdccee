"""Schedules measured on a flow, and where a flow is hard to integrate."""
