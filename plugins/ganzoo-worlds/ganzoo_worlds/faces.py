"""Faces rendered from a seed: one person, two renderings, five attributes; "same face, blond" has a ground truth.

Every part of a face is a field that is positive inside and measures the distance to its outline, so that one drawing
serves both renderings: a photograph shades the parts softly, a cartoon fills them flat and inks their outlines.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ganzoo.errors import GanzooError
from ganzoo_worlds.landscapes import hexes, noise, smooth, unit

ATTRIBUTES: tuple[str, ...] = ("black", "blond", "brown", "smiling", "glasses")
EXCLUSIVE: tuple[tuple[str, ...], ...] = (("black", "blond", "brown"),)
RENDERINGS: tuple[str, ...] = ("photo", "cartoon")
STYLES = ("short", "fringe", "parted", "bob", "long", "curly", "bun")

Array = np.ndarray

_SKIN = hexes("f6d3bd edbf9f dba581 bb8259 966040 6f4730")
_HAIR = {  # shadow, body, shine
    "black": hexes("08080d 1d1b22 6b7080"),
    "brown": hexes("2c160b 633a20 b57f4e"),
    "blond": hexes("94682c dfb560 fff0b4"),
}
_IRIS = hexes("3d6fa5 5b8f6a 6b4a2b 3b2a1e 7d8a94 8a6b33")
_CLOTH = hexes("b23a48 2f5d8a 3f7d5a d9a441 6d4c91 e8e4da 33363f d97b66 4aa3a2")
_BACKDROP = hexes("7fa6b8 a9b79a c9b49a 8d93b5 b9929a 6f8f8a cfc6b8 5d6b80")


@dataclass(frozen=True)
class _Person:
    """Who it is: all that no attribute changes. Lengths are fractions of the image's side."""

    pool: Array
    strands: Array
    skin: Array
    iris: Array
    cloth: Array
    backdrop: Array
    lights: Array  # blurred lights behind: rows x, y, radius, strength
    style: str
    lips: Array
    centre: tuple[float, float]
    tilt: float
    turn: float
    width: float
    height: float
    jaw: float
    eyes: tuple[float, float, float]  # apart, half width, half height
    brow: tuple[float, float]  # thickness, arch
    nose: tuple[float, float]  # half width, length
    mouth: float
    part: float
    square: float  # frames of the glasses: 2 round .. 5 square
    lit: float  # side that the light comes from


@lru_cache(maxsize=32)
def _person(seed: int) -> _Person:
    rng = np.random.default_rng([seed, 11])
    draw = rng.uniform
    tone = draw(0, 4.99)
    skin = _SKIN[int(tone)] + (tone % 1) * (_SKIN[int(tone) + 1] - _SKIN[int(tone)])
    backdrop = _BACKDROP[rng.permutation(len(_BACKDROP))[:2]] * draw(0.75, 1.1)
    lights = np.stack([rng.uniform(0, 1, 6), rng.uniform(0, 0.8, 6), rng.uniform(0.05, 0.13, 6), draw(-0.1, 0.3, 6)], 1)
    return _Person(
        pool=(rng.random((64, 64), np.float32) - 0.5) * 3.46,
        strands=rng.standard_normal(256).astype(np.float32),
        skin=skin,
        iris=_IRIS[rng.integers(len(_IRIS))],
        cloth=_CLOTH[rng.integers(len(_CLOTH))],
        backdrop=backdrop,
        lights=lights.astype(np.float32),
        style=STYLES[rng.integers(len(STYLES))],
        lips=skin * [0.86, 0.6, 0.6] + np.array([0.06, 0, 0.01]) + draw(-0.03, 0.05) * np.array([1, -1, -0.5]),
        centre=(0.5 + draw(-0.03, 0.03), 0.485 + draw(-0.02, 0.02)),
        tilt=draw(-0.11, 0.11),
        turn=draw(-0.022, 0.022),
        width=draw(0.195, 0.225),
        height=draw(0.265, 0.295),
        jaw=draw(0.08, 0.3),
        eyes=(draw(0.083, 0.098), draw(0.043, 0.052), draw(0.019, 0.025)),
        brow=(draw(0.008, 0.015), draw(0.008, 0.03)),
        nose=(draw(0.03, 0.042), draw(0.085, 0.11)),
        mouth=draw(0.062, 0.08),
        part=draw(-0.6, 0.6),
        square=draw(2.0, 5.0),
        lit=float(rng.choice([-1, 1])) * draw(0.35, 0.65),
    )


def attributes(seed: int) -> dict[str, bool]:
    """The attributes that the person of `seed` has by nature, one bool for each of `ATTRIBUTES`."""
    rng = np.random.default_rng([seed, 12])
    hair = rng.integers(3)
    return {name: bool(hair == i) for i, name in enumerate(EXCLUSIVE[0])} | {
        "smiling": bool(rng.random() < 0.5),
        "glasses": bool(rng.random() < 0.5),
    }


def _settle(seed: int, overrides: dict[str, bool]) -> dict[str, bool]:
    """The person's attributes with the overrides; one set of an exclusive group clears the others."""
    has = attributes(seed)
    for name, value in overrides.items():
        if name not in ATTRIBUTES:
            raise GanzooError(f"A face has no attribute '{name}'. Available: {', '.join(ATTRIBUTES)}.")
        for group in EXCLUSIVE:
            if value and name in group:
                has |= dict.fromkeys(group, False)
        has[name] = bool(value)
    return has


class _Easel:
    """The image in work, with the coordinates of the image (x, y) and of the head (X, Y)."""

    def __init__(self, person: _Person, size: int, cartoon: bool):
        self.size, self.cartoon = size, cartoon
        axis = ((np.arange(size) + 0.5) / size).astype(np.float32)
        self.x, self.y = axis[None, :], axis[:, None]
        u, v = self.x - person.centre[0], self.y - person.centre[1]
        c, s = float(np.cos(person.tilt)), float(np.sin(person.tilt))
        self.X, self.Y = c * u + s * v, c * v - s * u
        self.rgb = np.zeros((3, size, size), np.float32)
        self.line = 0.011  # half the width of the cartoon's ink

    def mask(self, inside: Array, soft: float = 0.0) -> Array:
        return unit(inside * (1 / (soft + 1 / self.size)) + 0.5)

    def lay(
        self, inside: Array, colour: Array, soft: float = 0.0, ink: float = 1.0, strength: Array | float = 1.0
    ) -> None:
        """Paint a part where `inside` is positive; the cartoon inks its outline first, `ink` times the usual width."""
        if self.cartoon and ink:
            edge = self.mask(inside + self.line * ink)
            self.rgb += edge * (_plane(_INK) - self.rgb)
        self.rgb += self.mask(inside, 0.0 if self.cartoon else soft) * strength * (_plane(colour) - self.rgb)

    def shade(self, amount: Array) -> None:
        """Darken (or lighten, where negative) by a field: photographs only."""
        if not self.cartoon:
            self.rgb *= 1 - amount


_INK = np.array([0.12, 0.09, 0.13], np.float32)


def _plane(colour: Array | tuple[float, ...]) -> Array:
    values = np.asarray(colour, np.float32)
    return values[:, None, None] if values.ndim == 1 else values


def _oval(x: Array, y: Array, rx: float, ry: float, power: float = 2.0) -> Array:
    """Distance inside an ellipse (or, with a higher power, a rounded box)."""
    if power == 2.0:
        return (1 - np.sqrt((x / rx) ** 2 + (y / ry) ** 2)) * min(rx, ry)
    return (1 - (np.abs(x / rx) ** power + np.abs(y / ry) ** power) ** (1 / power)) * min(rx, ry)


def _glow(x: Array, y: Array, rx: float, ry: float) -> Array:
    return np.exp(-((x / rx) ** 2) - (y / ry) ** 2)


def _backdrop(e: _Easel, p: _Person) -> None:
    first, second = _plane(p.backdrop[0]), _plane(p.backdrop[1])
    if e.cartoon:
        e.rgb[:] = 0.35 + 0.65 * first
        disc = _oval(e.x - p.centre[0], e.y - p.centre[1], 0.43, 0.43)
        e.lay(disc, 0.35 + 0.65 * p.backdrop[1], ink=0)
        return
    e.rgb[:] = first + smooth(0.1, 0.95, e.y + 0.25 * p.lit * (e.x - 0.5)) * (0.75 * second - first)
    for x, y, radius, strength in p.lights.tolist():
        far = np.sqrt((e.x - x) ** 2 + (e.y - y) ** 2)
        e.rgb += unit((radius - far) * 40 + 0.5) * strength * (1.0 - e.rgb) * 0.8
    e.rgb *= 1.05 - 0.5 * ((e.x - 0.5) ** 2 + (e.y - 0.5) ** 2)


def _body(e: _Easel, p: _Person) -> None:
    """Neck and shoulders."""
    x, y = e.x - p.centre[0], e.y
    shoulders = _oval(x, y - 1.13, 0.40, 0.32, 2.4)
    neck = np.minimum(0.092 + 0.25 * np.maximum(y - 0.8, 0) - np.abs(x), y - 0.6)
    neckline = _oval(x, y - 0.81, 0.125, 0.085)
    if e.cartoon:
        e.lay(shoulders, p.cloth)
        e.lay(np.maximum(np.minimum(neck, 0.85 - y), neckline), p.skin * 0.9)
        return
    fall = 0.72 + 0.4 * p.lit * x / 0.4 - 0.28 * (x / 0.42) ** 2 + 0.06 * noise(p.pool, e.size, 7, 4, 1)
    e.lay(shoulders, _plane(p.cloth) * (fall + 0.15), 0.006)
    e.lay(shoulders, _plane(p.cloth) * 0.4, 0.0, strength=_glow(x, y - 0.8, 0.16, 0.11) * 0.8)
    skin = _plane(p.skin) * (0.82 + 0.9 * p.lit * x - 9 * x * x) * (0.62 + 0.38 * smooth(0.74, 0.88, y))
    e.lay(np.maximum(np.minimum(neck, 0.84 - y), neckline), skin * _plane((1.0, 0.95, 0.92)), 0.008)


def _head_field(e: _Easel, p: _Person, grow: float = 1.0) -> Array:
    narrow = 1 - p.jaw * np.maximum(e.Y / p.height, 0) ** 2
    return _oval(e.X / narrow, e.Y, p.width * grow, p.height * grow, 2.25)


def _head(e: _Easel, p: _Person) -> Array:
    """Ears and the bare head; returns the head's field."""
    for side in (-1, 1):
        ear = _oval(e.X - side * p.width * 1.0, e.Y - 0.015, 0.028, 0.052)
        e.lay(ear, p.skin * (0.8 + 0.25 * side * p.lit), 0.006)
        e.lay(ear - 0.014, p.skin * 0.66, 0.01, ink=0)
    field = _head_field(e, p)
    if e.cartoon:
        e.lay(field, p.skin)
        # one hard shadow on the side away from the light
        cheek = np.minimum(field, -_oval(e.X - np.sign(p.lit) * 0.035, e.Y + 0.03, p.width * 0.98, p.height * 1.05))
        e.lay(cheek, p.skin * [0.86, 0.78, 0.78], ink=0)
        for side in (-1, 1):
            e.lay(_oval(e.X - side * 0.115, e.Y - 0.085, 0.036, 0.024), p.skin * [1.0, 0.72, 0.68], ink=0, strength=0.6)
        return field
    nx, ny = e.X / p.width, e.Y / p.height
    nz = np.sqrt(np.maximum(1.02 - nx * nx - ny * ny, 0))
    tone = 0.62 * nz + p.lit * nx - 0.3 * ny
    tone = smooth(-0.55, 1.05, tone + 0.1)
    dark, light = p.skin * [0.50, 0.36, 0.32], np.minimum(p.skin * 1.15 + 0.02, 1.0)
    skin = _plane(dark) + tone * _plane(light - dark)
    skin += 0.10 * _glow(e.X - 0.35 * p.lit * p.width, e.Y + 0.6 * p.height, 0.09, 0.05)  # light on the forehead
    for side in (-1, 1):
        blush = _glow(e.X - side * 0.115 - p.turn, e.Y - 0.075, 0.055, 0.04)
        skin *= 1 - blush * _plane((0.0, 0.13, 0.11))
        skin *= 1 - 0.22 * _glow(e.X - side * p.eyes[0] - p.turn, e.Y + 0.045, 0.062, 0.04)  # sockets
    e.lay(field, skin, 0.004)
    return field


def _eyes(e: _Easel, p: _Person, hair: Array) -> None:
    apart, wide, tall = p.eyes
    big = 1.45 if e.cartoon else 1.0
    for side in (-1, 1):
        x, y = e.X - side * apart - p.turn, e.Y + 0.03
        u = x / (wide * (1.08 if e.cartoon else 1.0))
        lid = tall * big * (1 - u * u)
        almond = lid - np.abs(y + 0.004 * side * u)
        if e.cartoon:
            almond = _oval(x, y, wide * 0.82, tall * 1.85)
        white = np.array([0.97, 0.96, 0.95]) if e.cartoon else np.array([0.9, 0.88, 0.87])
        e.lay(almond, white, 0.004, ink=0.8)
        radius = tall * (1.42 if e.cartoon else 1.02)
        gaze = x - p.turn * 0.3
        far = np.sqrt(gaze**2 + (y + 0.002) ** 2)
        e.lay(np.minimum(almond, radius - far), p.iris * (1.15 if e.cartoon else 0.85), 0.003, ink=0)
        e.lay(np.minimum(almond, radius * (0.62 if e.cartoon else 0.52) - far), _INK * 0.5, 0.002, ink=0)
        spark = radius * 0.34 - np.sqrt((gaze + 0.4 * radius) ** 2 + (y + 0.45 * radius) ** 2)
        e.lay(spark, np.ones(3), 0.002, ink=0)
        if e.cartoon:
            e.lay(np.minimum(0.007 - np.abs(almond + 0.004), -y - 0.4 * tall), _INK, ink=0)  # upper lashes
        else:
            lash = np.minimum(0.0065 - np.abs(y + tall * (1 - u * u)), (1.12 - np.abs(u)) * wide)
            e.lay(lash, p.skin * 0.12, 0.005, strength=0.92)
            crease = np.minimum(0.004 - np.abs(y + tall * 1.75 * (1 - 0.75 * u * u)), (1 - np.abs(u)) * wide)
            e.lay(crease, p.skin * [0.45, 0.32, 0.3], 0.008, strength=0.5)
        thick, arch = p.brow
        b = x / (wide * 1.28) * side
        bow = y + tall * big + 0.030 + arch * (0.35 - (b + 0.22) ** 2)
        e.lay(
            np.minimum(thick * (1.1 - 0.5 * b) - np.abs(bow), (1 - np.abs(b)) * 0.04), hair, 0.007, ink=0, strength=0.9
        )


def _nose(e: _Easel, p: _Person) -> None:
    wide, length = p.nose
    x, y = e.X - p.turn * 1.6, e.Y + 0.02 - length
    if e.cartoon:
        bow = np.minimum(0.008 - np.abs(y - 0.012 + 7 * x * x), wide * 0.75 - np.abs(x))
        e.lay(bow, p.skin * [0.5, 0.36, 0.36], ink=0)
        return
    away = -np.sign(p.lit)
    e.shade(0.24 * _glow(x - away * wide * 0.75, y + 0.035, 0.018, 0.055))
    e.shade(
        -0.16 * _glow(x + away * 0.004, y + 0.04, 0.011, 0.055)
        - 0.13 * _glow(x + away * 0.006, y - 0.002, 0.013, 0.012)
    )
    e.shade(0.34 * _glow(x, y - 0.024, wide * 0.9, 0.011))
    for side in (-1, 1):
        e.shade(0.16 * _glow(x - side * wide, y - 0.004, 0.009, 0.015))
        e.shade(0.6 * _glow(x - side * wide * 0.5, y - 0.018, 0.009, 0.006))


def _mouth(e: _Easel, p: _Person, smiling: bool) -> None:
    x, y = e.X - p.turn * 1.2, e.Y - 0.155
    lips = p.lips if not e.cartoon else p.lips * [1.0, 0.85, 0.85]
    if not smiling:
        u = x / p.mouth
        y = y + 0.006 * u * u - 0.002
        bow = 0.003 * np.cos(u * 6)
        upper = np.minimum(y + 0.016 * (1 - u * u) - bow, 0.002 - y)
        lower = np.minimum(y + 0.002, 0.021 * (1 - u * u) - y)
        if e.cartoon:
            e.lay(np.minimum(0.0085 - np.abs(y), p.mouth * 0.8 - np.abs(x)), _INK, ink=0)
            return
        e.lay(upper, lips * 0.82, 0.006)
        e.lay(lower, lips, 0.006)
        e.shade(-0.18 * _glow(x, y - 0.009, 0.03, 0.005))
        e.lay(np.minimum(0.0035 - np.abs(y), p.mouth * 1.02 - np.abs(x)), lips * 0.35, 0.004, strength=0.9)
        e.shade(0.16 * _glow(x, y - 0.035, 0.04, 0.011))
        return
    wide = p.mouth * 1.5
    u = x / wide
    rise = y + 0.032 * u * u - 0.004  # the corners go up
    top, foot = rise + 0.008 * (1 - u * u), 0.046 * (1 - u * u) - rise
    opening = np.minimum(top, foot)
    e.lay(np.minimum(top + 0.010 * (1 - u * u), foot + 0.014 * (1 - u * u)), lips, 0.005, ink=0.7)
    e.lay(opening, np.array([0.30, 0.07, 0.09]), 0.003, ink=0.4)
    e.lay(np.minimum(opening, 0.030 - 0.012 * u * u - rise), np.array([0.98, 0.97, 0.94]), 0.003, ink=0)
    for side in (-1, 1):
        # the cheeks lift, and a fold runs from the nose to the corner of the mouth
        e.shade(0.2 * _glow(x - side * (wide + 0.012), y + 0.03, 0.011, 0.026))
        e.shade(-0.08 * _glow(x - side * 0.115, y + 0.085, 0.04, 0.028))


def _strand_light(e: _Easel, p: _Person) -> Array:
    """The run of light and dark over the hair: strands that fan out from the crown."""
    if p.style == "curly":
        return 0.6 * (noise(p.pool, e.size, 23, 23, 2) - noise(p.pool, e.size, 23, 23, 2, 0.0, -0.015))
    along = e.X / (0.12 + 0.5 * np.abs(e.Y + p.height * 1.05)) + 0.25 * p.part
    return (
        np.interp((along * 26 + 128).ravel(), np.arange(256), p.strands).reshape(along.shape).astype(np.float32) * 0.33
    )


def _paint_hair(
    e: _Easel, p: _Person, inside: Array, colours: Array, strands: Array, depth: float, ink: float = 1.0
) -> None:
    shadow, body, shine = (_plane(c) for c in colours)
    if e.cartoon:
        e.lay(inside, colours[1] * depth, ink=ink)
        gloss = 0.018 - np.abs(e.Y + p.height * (0.86 - 0.9 * (e.X / p.width) ** 2 * 0.3))
        e.lay(
            np.minimum(np.minimum(inside - 0.02, gloss), p.width * 0.6 - np.abs(e.X)),
            0.5 * (colours[1] + colours[2]),
            ink=0,
        )
        return
    ring = np.exp(-(((e.Y + p.height * 0.82 - 0.5 * e.X * e.X) / 0.075) ** 2)) * (0.6 + p.lit * e.X / p.width)
    light = depth * (0.55 + 0.5 * p.lit * e.X / p.width - 0.6 * e.Y) + 0.16 * strands
    colour = shadow + unit(light) * (body - shadow)
    colour = colour + unit(ring * (0.45 + 0.7 * strands)) * depth * 0.8 * (shine - colour)
    e.lay(inside, colour, 0.005)


def _hair(e: _Easel, p: _Person, strands: Array) -> tuple[Array | None, Array]:
    """Fields of the hair behind the head (or None) and before it."""
    X, Y, w, h, style = e.X, e.Y, p.width, p.height, p.style
    a = np.abs(X)
    cap = _head_field(e, p, 1.0) + 0.032
    off = (X - p.part * w * 0.5) / w
    lock = 0.009 * np.sin(X * 71 + p.part * 9) + 0.008 * np.sin(X * 37 + 5 * p.part) + 0.006 * np.sin(X * 133)
    cap += 0.006 * strands
    back = None
    if style == "short":
        line = -h * 0.62 + 0.07 * (a / w) ** 4 + 0.06 * off + 0.4 * lock + smooth(0.8, 1.0, a / w) * 0.14
        cap = np.minimum(np.where(Y < -0.08, cap + 0.004, cap - 0.016), -0.005 - Y)
    elif style == "fringe":
        line = -h * 0.35 + lock + smooth(0.78, 0.98, a / w) * 0.2
        cap = np.minimum(cap + 0.006, 0.075 + lock - Y)
    elif style == "parted":
        line = np.minimum(-h * 0.80 + 0.21 * np.abs(off) ** 1.3, 0.02)
        cap = np.minimum(cap + 0.012, 0.02 + lock - Y)
    elif style == "curly":
        rough = 0.02 * noise(p.pool[20:], e.size, 15, 15, 1)
        back = _oval(X, Y + 0.07, w * 1.55, h * 1.2) + rough
        line, cap = -h * 0.52 + 0.16 * (a / w) ** 3 + 1.2 * rough, np.maximum(cap, back)
    elif style == "bun":
        line = -h * 0.66 + 0.13 * (a / w) ** 3 + smooth(0.9, 1.0, a / w) * 0.1
        cap = np.minimum(cap - 0.008, 0.02 - Y)
        back = _oval(X, Y + h * 1.16, 0.095, 0.075) + 0.005 * strands
    else:  # bob, long: a curtain that falls beside the face
        bob = style == "bob"
        end, wide = h * (0.95 if bob else 1.7), w * 1.26
        swell = wide + (0.05 if bob else 0.09) * smooth(-0.05, 0.3, Y) + 0.008 * np.sin(Y * 38 + 9 * p.part) * (Y > 0)
        # straight at the sides, round at the foot
        fall = (1 - ((a / swell) ** 5 + (np.maximum(Y, 0) / end) ** 5) ** 0.2) * swell
        back = np.where(Y < 0, _oval(X, Y, wide, h * 1.2), fall + 0.6 * lock * smooth(0.1, 0.3, Y)) + 0.003 * strands
        line = (
            -h * 0.76
            + 0.17 * np.abs(off) ** 1.5
            + smooth(0.72, 1.08, a / w + 0.05 * np.sin(Y * 26)) * (0.4 if bob else 0.85)
        )
        cap = np.maximum(cap, back)
    below = line - Y
    # a hairline may run steeply: divide by the slope to have a distance again, or its ink would break up
    slope = np.hypot(*np.gradient(below, 1 / e.size))
    return back, np.minimum(cap, below / np.maximum(slope, 0.7))


def _glasses(e: _Easel, p: _Person) -> None:
    apart = p.eyes[0]
    rx, ry = 0.073, 0.056 + (0.006 if p.square < 3 else 0)
    frame = np.array([0.09, 0.08, 0.10])
    x = np.abs(e.X - p.turn)  # both lenses at once
    y = e.Y + 0.026
    lens = _oval(x - apart - 0.004, y, rx, ry, p.square)
    if not e.cartoon:
        e.lay(lens, np.array([0.75, 0.83, 0.9]), 0.003, strength=0.10)
        e.lay(
            np.minimum(lens, 0.011 - np.abs((e.X - p.turn) * 0.8 + y - np.sign(e.X - p.turn) * 0.05)),
            np.ones(3),
            0.012,
            strength=0.22,
        )
        e.shade(0.22 * np.exp(-(((lens + 0.012) / 0.012) ** 2)) * (y > 0))  # their shadow on the cheek
    else:
        e.lay(lens, np.array([0.85, 0.95, 1.0]), ink=0, strength=0.25)
    thick = 0.0095
    bridge = np.minimum(thick * 0.8 - np.abs(y + 0.012 - 3 * x * x), apart + 0.004 - rx + 0.004 - x)
    temple = np.minimum(
        np.minimum(thick * 0.8 - np.abs(y + 0.016), x - apart - rx + 0.004), p.width * 1.04 - np.abs(e.X)
    )
    e.lay(np.maximum(np.maximum(thick - np.abs(lens), bridge), temple), frame, 0.003, ink=0)


def render(seed: int, rendering: str, size: int, **overrides: bool) -> Array:
    """Draw the face of `seed` in one of `RENDERINGS`, with its own attributes or those given, as in `blond=True`.

    The seed fixes the person (shape of the face, skin, hair style, eyes, nose, pose, light, backdrop), alike in every
    rendering, at every size and under every override. Setting one of an `EXCLUSIVE` group clears the others; a face
    left without a hair colour is bald. Returns uint8 (size, size, 3) on 0..255.
    """
    if rendering not in RENDERINGS:
        raise GanzooError(f"There is no face rendering '{rendering}'. Available: {', '.join(RENDERINGS)}.")
    has, p = _settle(seed, overrides), _person(seed)
    e = _Easel(p, size, rendering == "cartoon")
    colours = next((_HAIR[name] for name in EXCLUSIVE[0] if has[name]), None)
    strands = _strand_light(e, p)
    back, front = _hair(e, p, strands)
    _backdrop(e, p)
    if colours is not None and back is not None:
        _paint_hair(e, p, back, colours, strands, 0.72)
    _body(e, p)
    _head(e, p)
    _nose(e, p)
    _eyes(e, p, 0.5 * (colours[0] + colours[1]) if colours is not None else p.skin * 0.5)
    _mouth(e, p, has["smiling"])
    if colours is not None:
        e.shade(0.38 * unit(1 + front / 0.04) * (front < 0) * unit(_head_field(e, p) * 60))  # the hair's shadow
        _paint_hair(e, p, front, colours, strands, 1.0)
    if has["glasses"]:
        _glasses(e, p)
    if rendering == "photo":
        tile = -(-size // 64)
        e.rgb += 0.006 * np.tile(p.pool, (tile, tile))[:size, :size]
    return (unit(e.rgb).transpose(1, 2, 0) * 255 + 0.5).astype(np.uint8)
