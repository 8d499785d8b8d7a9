"""Frozen shapes that cross a border, and the enums of the trade. No behaviour beyond what a shape needs."""
