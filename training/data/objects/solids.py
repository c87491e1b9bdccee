"""Coloured solids out of trimesh's primitives: what the objects of the multi-view data are put together from."""

from collections.abc import Sequence

import numpy as np
import trimesh

Point = tuple[float, float, float]
Colour = tuple[int, int, int]
SECTIONS = 32


class Solid:
    """Coloured triangles that parts are added to; x points forward, y to the left and z up, in any unit."""

    def __init__(self) -> None:
        self._meshes: list[trimesh.Trimesh] = []
        self._colours: list[Colour] = []

    def add(self, mesh: trimesh.Trimesh, colour: Colour, at: Point = (0, 0, 0)) -> None:
        """Add a mesh in one sRGB colour, moved to `at`."""
        self._meshes.append(mesh.copy().apply_translation(at))
        self._colours.append(colour)

    def box(self, size: Point, at: Point, colour: Colour) -> None:
        """Add a box of `size` (length, width, height) with its middle at `at`."""
        self.add(trimesh.creation.box(size), colour, at)

    def ball(self, size: Point, at: Point, colour: Colour) -> None:
        """Add an ellipsoid of diameters `size` with its middle at `at`."""
        self.add(trimesh.creation.icosphere(3, 0.5).apply_scale(size), colour, at)

    def rod(self, start: Point, end: Point, radius: float, colour: Colour) -> None:
        """Add a round rod from `start` to `end`."""
        self.add(trimesh.creation.cylinder(radius, sections=SECTIONS, segment=(start, end)), colour)

    def turned(
        self, profile: Sequence[tuple[float, float]], at: Point, colour: Colour, axis: Point = (0, 0, 1)
    ) -> None:
        """Add a profile of (radius, height) points turned about `axis` through `at`."""
        mesh = trimesh.creation.revolve(profile, sections=SECTIONS)
        self.add(mesh.apply_transform(trimesh.geometry.align_vectors((0, 0, 1), axis)), colour, at)

    def wheel(self, radius: float, width: float, at: Point, colour: Colour, hub: Colour) -> None:
        """Add an upright wheel that rolls forward, with a hub to both sides."""
        x, y, z = at
        self.rod((x, y - width / 2, z), (x, y + width / 2, z), radius, colour)
        self.rod((x, y - width * 0.55, z), (x, y + width * 0.55, z), radius * 0.7, hub)

    def hull(self, points: Sequence[Point], colour: Colour) -> None:
        """Add the convex hull of points: wedges, roofs, wings."""
        self.add(trimesh.convex.convex_hull(np.asarray(points, np.float64)), colour)

    def triangles(self) -> tuple[np.ndarray, np.ndarray]:
        """Return float64 triangles (F, 3, 3) in a unit sphere about the origin, and their sRGB uint8 colours (F, 3)."""
        triangles = np.concatenate([mesh.triangles for mesh in self._meshes])
        corners = triangles.reshape(-1, 3)
        corners = corners - (corners.min(0) + corners.max(0)) / 2
        corners /= np.linalg.norm(corners, axis=1).max()
        counts = [len(mesh.faces) for mesh in self._meshes]
        return corners.reshape(-1, 3, 3), np.repeat(np.array(self._colours, np.uint8), counts, axis=0)
