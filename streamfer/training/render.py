"""Pictures of the ICT face, drawn off screen with OpenGL (moderngl on EGL; Mesa's llvmpipe where there is no GPU).

`Renderer.draw` gives a picture, uint8 RGB, of a mesh under a pose, a light and a lens. One light, ambient light from
above, no cast shadows: enough for a landmark network to see brows, lids and lips, no claim to look real.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from streamfer.errors import ExtraMissing
from streamfer.training.ict_face import PAINT_CM, IctFace, Paint

_VERTEX = """
#version 330
in vec3 position; in vec3 neutral; in float part;
uniform mat4 view; uniform mat4 lens;
out vec3 at; out vec3 rest; flat out float kind;
void main() {
    vec4 seen = view * vec4(position, 1.0);
    at = seen.xyz; rest = neutral; kind = part;
    gl_Position = lens * seen;
}
"""
_FRAGMENT = """
#version 330
in vec3 at; in vec3 rest; flat in float kind;
uniform sampler2D skin; uniform vec4 paint_cm; uniform vec3 hair; uniform vec3 iris; uniform vec3 base;
uniform vec3 light; uniform vec3 light_colour; uniform vec3 ambient; uniform float gloss; uniform float hairline;
uniform float lashes;
out vec4 colour;
void main() {
    vec3 n = normalize(cross(dFdx(at), dFdy(at)));
    if (n.z < 0.0) n = -n;
    int k = int(kind + 0.5);
    vec3 albedo = base; float shine = gloss; float shade = 1.0;
    if (k == 0 || k == 1) {
        vec2 uv = vec2((rest.x - paint_cm.x) / (paint_cm.y - paint_cm.x), (paint_cm.w - rest.y) / (paint_cm.w - paint_cm.z));
        albedo = k == 0 ? texture(skin, uv).rgb : base;
        float up = smoothstep(hairline, hairline + 1.5, rest.y - 0.45 * (rest.z - 6.0));
        albedo = mix(albedo, hair, up); shine *= 1.0 - 0.7 * up;
    } else if (k == 2) { albedo = vec3(0.18, 0.05, 0.05); shade = 0.35; shine = 0.0; }
    else if (k == 3) { albedo = base * 0.5; shade = 0.6; shine = 0.0; }
    else if (k == 4) { albedo = vec3(0.5, 0.2, 0.2); shade = 0.5; }
    else if (k == 5) { albedo = vec3(0.85, 0.82, 0.75); shade = 0.75; }
    else if (k == 6) {
        float r = length(vec2(abs(rest.x) - 3.1, rest.y - 3.65));
        albedo = vec3(0.86, 0.84, 0.82);
        if (rest.z > 8.0) {
            albedo = mix(iris, albedo, smoothstep(0.56, 0.62, r));
            albedo = mix(vec3(0.02), albedo, smoothstep(0.22, 0.27, r));
        }
        shine = 0.5; shade = 0.85;
    } else {
        vec2 cell = floor(gl_FragCoord.xy);
        if (fract(sin(dot(cell, vec2(12.9898, 78.233))) * 43758.5453) > lashes) discard;
        albedo = hair * 0.4; shine = 0.0;
    }
    float lit = max(dot(n, light), 0.0);
    float sky = 0.6 + 0.4 * n.y;
    vec3 toward = normalize(-at), half_way = normalize(light + toward);
    float glint = shine * pow(max(dot(n, half_way), 0.0), 24.0) * (lit > 0.0 ? 1.0 : 0.0);
    colour = vec4(albedo * shade * (ambient * sky + light_colour * lit) + glint * light_colour, 1.0);
}
"""


@dataclass(frozen=True, slots=True)
class View:
    """Pose of the head in degrees (yaw > 0: towards the person's left), place in the picture, lens, light."""

    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    distance_cm: float
    face_share: float  # height of brow to chin as a share of the picture
    shift: tuple[float, float]
    light: np.ndarray  # towards the light, camera axes
    light_colour: np.ndarray
    ambient: np.ndarray
    gloss: float
    hairline_cm: float
    lashes: float  # density, 0-1


class Renderer:
    """Draws `size_px` square pictures; one OpenGL context, one thread."""

    def __init__(self, face: IctFace, size_px: int) -> None:
        try:
            import moderngl
        except ImportError:
            raise ExtraMissing.of("moderngl", "train", "drawing faces") from None
        gl: Any = moderngl.create_context(standalone=True, backend="egl")  # type: ignore[arg-type]
        self._context = gl
        self._size = size_px
        self._face = face
        program: Any = gl.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        self._program = program
        program["paint_cm"].value = PAINT_CM
        self._positions = gl.buffer(reserve=face.neutral.nbytes, dynamic=True)
        rest = np.column_stack([face.neutral, face.part]).astype(np.float32)
        self._array = gl.vertex_array(
            program,
            [(self._positions, "3f", "position"), (gl.buffer(rest.tobytes()), "3f 1f", "neutral", "part")],
            gl.buffer(face.faces.tobytes()),
        )
        # no multisampling: it costs four times the drawing, and the landmark network looks at a smaller picture anyway
        self._target = gl.framebuffer([gl.renderbuffer((size_px, size_px), 4)], gl.depth_renderbuffer((size_px, size_px)))
        self._texture: Any = None

    def wear(self, texture: np.ndarray, paint: Paint) -> None:
        """Put on a person's painted skin."""
        if self._texture is not None:
            self._texture.release()
        self._texture = self._context.texture(texture.shape[1::-1], 3, texture.tobytes())
        self._texture.build_mipmaps()
        self._texture.use(0)
        self._program["hair"].value = tuple(paint.hair)
        self._program["iris"].value = tuple(paint.iris)
        self._program["base"].value = tuple(paint.skin)

    def draw(self, vertices: np.ndarray, view: View, background: np.ndarray) -> np.ndarray:
        """The picture (size, size, 3) uint8 over a background of the same size."""
        gl, program = self._context, self._program
        self._positions.write(np.ascontiguousarray(vertices, np.float32).tobytes())
        program["view"].write(_view_matrix(view).T.astype(np.float32).tobytes())
        program["lens"].write(_lens_matrix(view).T.astype(np.float32).tobytes())
        program["light"].value = tuple(view.light / np.linalg.norm(view.light))
        program["light_colour"].value = tuple(view.light_colour)
        program["ambient"].value = tuple(view.ambient)
        program["gloss"].value = view.gloss
        program["hairline"].value = view.hairline_cm
        program["lashes"].value = view.lashes
        self._target.use()
        gl.enable(gl.DEPTH_TEST)
        self._target.clear(0.0, 0.0, 0.0, 0.0)
        self._array.render()
        drawn = np.frombuffer(self._target.read(components=4), np.uint8).reshape(self._size, self._size, 4)[::-1]
        alpha = drawn[..., 3:].astype(np.float32) / 255
        return (drawn[..., :3] + (1 - alpha) * background).clip(0, 255).astype(np.uint8)


_CENTRE = np.array([0.0, 0.0, 6.0])  # the head turns about this, cm


def _view_matrix(view: View) -> np.ndarray:
    yaw, pitch, roll = np.radians([view.yaw_deg, view.pitch_deg, view.roll_deg])
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = tilt @ nod @ turn
    matrix[:3, 3] = np.array([0, 0, -view.distance_cm]) - matrix[:3, :3] @ _CENTRE
    return matrix


def _lens_matrix(view: View) -> np.ndarray:
    near, far = view.distance_cm - 30.0, view.distance_cm + 40.0
    focal = view.face_share * 2 * view.distance_cm / 14.0  # brow to chin is about 14 cm
    lens = np.zeros((4, 4))
    lens[0, 0] = lens[1, 1] = focal
    lens[0, 2], lens[1, 2] = view.shift  # multiplied by z / -z
    lens[2, 2], lens[2, 3], lens[3, 2] = (near + far) / (near - far), 2 * near * far / (near - far), -1.0
    return lens


def random_view(rng: np.random.Generator, turn: float = 1.0) -> View:
    """`turn` scales how far the head is turned: 0 looks straight ahead."""
    strength = rng.uniform(0.35, 1.0)
    tint = 1 + rng.normal(0, 0.06, 3)
    return View(
        yaw_deg=turn * float(np.clip(rng.normal(0, 14), -40, 40)),
        pitch_deg=turn * float(np.clip(rng.normal(0, 9), -25, 25)),
        roll_deg=turn * float(rng.normal(0, 6)),
        distance_cm=float(np.exp(rng.uniform(np.log(40), np.log(150)))),
        face_share=float(rng.uniform(0.34, 0.6)),
        shift=(float(rng.uniform(-0.1, 0.1)), float(rng.uniform(-0.1, 0.1))),
        light=np.array([rng.normal(0, 0.7), rng.normal(0.5, 0.4), 1.0]),
        light_colour=strength * tint,
        ambient=(1.05 - 0.6 * strength) * (1 + rng.normal(0, 0.04, 3)),
        gloss=float(rng.uniform(0.0, 0.15)),
        hairline_cm=float(rng.uniform(8.0, 11.0)),
        lashes=float(rng.uniform(0.0, 0.6)),
    )


def random_background(rng: np.random.Generator, size_px: int) -> np.ndarray:
    """Blurred blotches, (size, size, 3) float32 0-255."""
    import cv2

    small = rng.uniform(20, 230, 3) + rng.normal(0, 30, (5, 5, 3))
    return np.clip(cv2.resize(small.astype(np.float32), (size_px, size_px), interpolation=cv2.INTER_CUBIC), 0, 255)


def spoil(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What cameras do: exposure, blur, noise, JPEG, now and then no colour."""
    import cv2

    out: np.ndarray = 255 * (image.astype(np.float32) / 255) ** rng.uniform(0.55, 1.1) * rng.uniform(0.85, 1.15)
    if rng.random() < 0.5:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.3, 1.2))
    out += rng.standard_normal(image.shape, np.float32) * rng.uniform(0, 6)
    if rng.random() < 0.2:
        out[:] = out.mean(axis=2, keepdims=True)
    out = np.clip(out, 0, 255).astype(np.uint8)
    if rng.random() < 0.7:
        _, coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(50, 95))])
        out = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return out
