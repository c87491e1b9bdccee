"""Views of a solid from an orbit, ray-cast on the CPU by Intel's Embree.

Conventions. The object stands still and the camera moves: azimuth grows counter-clockwise seen from above. At
azimuth 0° the camera is on the object's x axis, at 90° on its y axis; elevation is above the horizon. The camera looks
at the origin from a fixed distance with a fixed field of view, so that the unit sphere fills FILL of the frame. The
light stands still with the object, on white.
"""

import numpy as np

DISTANCE = 4.0
FILL = 0.94
HALF_FRAME = 1 / np.sqrt(DISTANCE**2 - 1) / FILL  # tangent of half the field of view; the sphere's is without FILL
SAMPLES = 3  # rays a pixel, along each side
LIGHT = np.array([0.55, 0.55, 0.63]) / np.linalg.norm([0.55, 0.55, 0.63])
AMBIENT = 0.42


def camera_axes(azimuth: float, elevation: float) -> np.ndarray:
    """Return rows (towards the camera, right, up) as float64 (3, 3), for angles in degrees."""
    a, e = np.radians(azimuth), np.radians(elevation)
    towards = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.array([-np.sin(a), np.cos(a), 0.0])
    return np.stack([towards, right, np.cross(towards, right)])


class Renderer:
    """Renders one solid; building it costs a few milliseconds, and so does each view."""

    def __init__(self, triangles: np.ndarray, colours: np.ndarray, size: int) -> None:
        """Take triangles (F, 3, 3) within the unit sphere, their uint8 colours (F, 3) and a view's side in pixels.

        Raises ImportError where embreex is not installed.
        """
        try:
            from embreex.mesh_construction import TriangleMesh
            from embreex.rtcore_scene import EmbreeScene
        except ImportError as error:
            raise ImportError("embreex casts the rays: pip install embreex trimesh") from error
        self.size = size
        self._scene = EmbreeScene()
        self._mesh = TriangleMesh(self._scene, triangles.astype(np.float32))
        self._corners = triangles.reshape(-1, 3).astype(np.float32)
        self._colours = np.concatenate([shaded(triangles, colours), np.full((1, 3), 255)]).astype(np.float32)

    def view(self, azimuth: float, elevation: float) -> np.ndarray:
        """Return the view from there, in degrees, as RGB uint8 (size, size, 3)."""
        axes = camera_axes(azimuth, elevation).astype(np.float32)
        left, right, top, bottom = self._window(axes)
        rays = self._rays(left, right, top, bottom) @ axes
        eye = np.tile(DISTANCE * axes[0], (len(rays), 1))
        hit = self._scene.run(eye, rays)  # the nearest triangle's number, -1 for none
        samples = self._colours[hit.reshape(bottom - top, SAMPLES, right - left, SAMPLES)]
        picture = np.full((self.size, self.size, 3), 255, np.uint8)
        picture[top:bottom, left:right] = np.round(np.einsum("iajbc->ijc", samples) / SAMPLES**2)
        return picture

    def _window(self, axes: np.ndarray) -> tuple[int, int, int, int]:
        """Return the pixels that the solid lies in: first column, end column, first row, end row."""
        towards, right, up = axes @ self._corners.T
        across, down = ((side / (DISTANCE - towards) / HALF_FRAME + 1) / 2 * self.size for side in (right, -up))
        left, first = int(np.floor(across.min())), int(np.floor(down.min()))
        return left, int(np.ceil(across.max())), first, int(np.ceil(down.max()))

    def _rays(self, left: int, right: int, top: int, bottom: int) -> np.ndarray:
        """Return rays (R, 3) float32 through the samples of those pixels, in the camera's axes, row by row."""
        x, y = (
            ((np.arange(first * SAMPLES, last * SAMPLES) + 0.5) / (self.size * SAMPLES) * 2 - 1) * HALF_FRAME
            for first, last in ((left, right), (top, bottom))
        )
        rays = np.empty((len(y), len(x), 3), np.float32)
        rays[..., 0], rays[..., 1], rays[..., 2] = -1, x, -y[:, None]
        return rays.reshape(-1, 3)


def shaded(triangles: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return the colours (F, 3) under the fixed light: ambient and wrapped Lambert, so that no side is flat."""
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
    light = AMBIENT + (1 - AMBIENT) * (normals @ LIGHT + 1) / 2
    return colours * light[:, None]
