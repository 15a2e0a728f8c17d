"""Landscapes rendered from a seed: one scene, many renderings, so the ground truth of every translation is known.

A seed fixes the scene (time of day, sun, clouds, hills, water, trees, house) in coordinates 0..1; the rendering decides
how it looks and the size how finely it is sampled. Images are composed as float planes (3, size, size) because masks
then broadcast along the fast axis.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ganzoo.errors import GanzooError

SEASONS: tuple[str, ...] = ("spring", "summer", "autumn", "winter")
PAINTERS: tuple[str, ...] = ("pointillist", "woodcut", "watercolour", "nocturne")
RENDERINGS: tuple[str, ...] = ("photo", "painting", "edges", *SEASONS, *PAINTERS)

Array = np.ndarray
SKY, HILL, MEADOW, WATER, TREE, HOUSE = range(6)
_GRID = np.linspace(0.0, 1.0, 257, dtype=np.float32)  # ridges are kept on this grid, whatever the image's size


def hexes(codes: str) -> Array:
    """Hex colours, spaces between them, as one (len, 3) array on 0..1."""
    return np.array([[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in codes.split()], np.float32) / 255


# One row a time of day: zenith, horizon, glow about the sun, cloud, cloud's shadow, haze, light's colour.
_TIMES = np.stack(
    [
        hexes("3f7fc8 bcdcf0 fffbe8 ffffff a3b4c8 a9c4dc fffaee"),  # noon
        hexes("6399d2 f6e6cc fff3d0 fffaf0 b3b5c6 cfd4d6 fff2da"),  # morning
        hexes("5485bd ffcf86 fff0b0 fff0d2 b09aa6 e3bd98 ffdfa6"),  # golden hour
        hexes("46559a f7a088 ffd79a f9b9a4 6f628f b08ea8 f0bfb4"),  # dusk
        hexes("8a9fb3 d5dde2 eef2f2 eef1f3 94a1ae bcc8d0 dfe4e8"),  # overcast
    ]
)


@dataclass(frozen=True)
class _Season:
    """The colours of what grows: crowns come as (lit, shaded) pairs, one pair chosen by each tree."""

    lit: Array
    shaded: Array
    conifer: Array  # lit, shaded
    ground: Array  # meadow, darker meadow, ploughed or flowering field
    hill: Array  # wooded, bare, peak
    water: Array  # tint
    flowers: Array
    reflect: float = 0.74
    sky: tuple[float, float, float] = (1.0, 1.0, 1.0)
    texture: float = 1.0


_PALETTES: dict[str, _Season] = {
    "photo": _Season(
        hexes("86a03e 74963c 96a348 a8a04c"), hexes("23391c 1e361e 2c3c1c 3a3a1c"),
        hexes("4f7446 14281f"), hexes("8fa650 5d7f38 c3b264"), hexes("3f5f35 77894e 8a8f98"),
        hexes("41708c")[0], hexes("f4efd8")[0],
    ),
    "spring": _Season(
        hexes("fbd3df a9d65a fff1f4 f4a9c4"), hexes("b0668c 4a7d2c b08ba6 94487a"),
        hexes("6fa253 28492f"), hexes("a2d65c 74b54a f2dc58"), hexes("649a45 a5c95c a9b3bf"),
        hexes("5f9fc0")[0], hexes("fff0f6")[0], 0.72, (1.02, 1.04, 1.05),
    ),
    "summer": _Season(
        hexes("5fa433 4a9233 74ae38 3f8a3a"), hexes("12391a 0e331c 1b3f17 0c301c"),
        hexes("3b7a48 0c281d"), hexes("79ba3e 459336 ebc846"), hexes("2b6a35 5f9e40 8d949e"),
        hexes("2273a8")[0], hexes("e8433f")[0], 0.66, (0.88, 0.98, 1.07),
    ),
    "autumn": _Season(
        hexes("f08a24 d9481f f6bd34 c9642a"), hexes("7a2c14 5e1616 8f5416 562416"),
        hexes("6c7338 27301a"), hexes("c9a548 9c7a36 b0642f"), hexes("a2541f c08a3a 94898a"),
        hexes("5b6e78")[0], hexes("e87830")[0], 0.74, (1.05, 0.98, 0.91),
    ),
    "winter": _Season(
        hexes("f4f7fc e4eaf3 dfe6f0 eef2f8"), hexes("6c6a7a 5d5b69 75707c 666a7e"),
        hexes("e6eef4 28423f"), hexes("f2f6fc d5e1f0 e3ebf6"), hexes("b9c6d8 e6edf7 f4f8fd"),
        hexes("cfe2f0")[0], hexes("ffffff")[0], 0.26, (0.98, 1.0, 1.03), 0.25,
    ),
}  # fmt: skip


# ---- noise: lattices times interpolation weights, two small matrix products an octave -------------------------------


@lru_cache(maxsize=256)
def _weights(size: int, cells: int, warp: float = 0.0, shift: float = 0.0) -> Array:
    """(size, cells + 3) cubic B-spline weights, averaged over each pixel so that small images do not alias.

    `warp` squeezes the pattern towards 1, as perspective does a plane of clouds or waves seen from above.
    """
    at = (np.arange(size * 4) + 0.5) / (size * 4) + shift
    at = np.clip(at * (1 - warp + warp * at), 0, 1 - 1e-6) * cells
    cell, t = at.astype(int), at % 1.0
    spline = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    out = np.zeros((size * 4, cells + 3))
    for tap in range(4):
        out[np.arange(size * 4), cell + tap] = spline[tap]
    # 0.692 is the spread that one axis of smoothing leaves of unit noise
    return (out.reshape(size, 4, -1).mean(1) / 0.692).astype(np.float32)


def _product(left: Array, right: Array) -> Array:
    """left @ right in pieces so small that BLAS stays on one thread: its threads fight those of data loaders."""
    rows = max(1, 500_000 // right.size)
    if rows >= len(left):
        return left @ right
    return np.concatenate([left[at : at + rows] @ right for at in range(0, len(left), rows)])


def noise(
    pool: Array, size: int, across: int, down: int, octaves: int = 1, warp: float = 0.0, shift: float = 0.0
) -> Array:
    """Fractal noise (size, size) of about unit spread, `across` by `down` cells in its first octave.

    `pool` holds the seed's random numbers; the size only samples it.
    """
    total = np.zeros((size, size), np.float32)
    gain = 1.0
    for octave in range(octaves):
        a, d = across << octave, down << octave
        start = 7 * octave
        lattice = pool[start : start + d + 3, start : start + a + 3]
        total += gain * _product(_product(_weights(size, d, warp, shift), lattice), _weights(size, a).T)
        gain *= 0.55
    return total


def _ridge(rng: np.random.Generator, cells: int, octaves: int) -> Array:
    """One-dimensional fractal noise on the fixed grid."""
    return sum(
        (
            0.5**o * (_weights(257, cells << o) @ rng.standard_normal((cells << o) + 3, np.float32))
            for o in range(octaves)
        ),
        start=np.zeros((), np.float32),
    )


def unit(value: Array) -> Array:
    """The value held to 0..1."""
    return np.minimum(np.maximum(value, 0), 1)  # np.clip's own checks cost more than this


def smooth(low: float, high: float, value: Array) -> Array:
    """0 below `low`, 1 above `high` and an s-curve between."""
    t = unit((value - low) * (1 / (high - low)))
    return t * t * (3 - 2 * t)


# ---- the scene: everything that the seed decides, in coordinates 0..1 -----------------------------------------------


@dataclass(frozen=True)
class _Clump:
    """Trees that stand together: crowns as rows (x, y, half width, half height), and which colour each one takes."""

    crowns: Array
    colours: Array
    conifer: bool
    trunks: Array  # rows (x, top, foot, half width)
    box: tuple[float, float, float, float]  # left, top, right, foot of the crowns


@dataclass(frozen=True)
class _Hill:
    ridge: Array
    slope: Array
    near: float  # 0 far away .. 1 at our feet
    wooded: bool
    peak: bool
    clumps: tuple[_Clump, ...]
    house: tuple[float, float, float] | None  # x, foot, height


@dataclass(frozen=True)
class _Scene:
    pool: Array
    time: Array
    sun: tuple[float, float]
    light: tuple[float, float]
    horizon: float
    cloudiness: float
    hills: tuple[_Hill, ...]
    water: float | None  # the far shore
    bank: _Hill


def _clump(rng: np.random.Generator, ridge: Array, centre: float, height: float, count: int) -> _Clump:
    kind = ("round", "round", "conifer", "poplar")[rng.integers(4)]
    place = np.sort(rng.normal(centre, 0.32 * height * max(count - 1, 0.3), count))[:, None]
    tall = height * rng.uniform(0.7, 1.1, (count, 1))
    foot = np.interp(place, _GRID, ridge) + 0.08 * height + 0.006
    if kind == "conifer":
        parts: tuple[Array, ...] = (place, foot - tall, tall * rng.uniform(0.2, 0.27, (count, 1)), tall * 0.96)
        trunk = 0.1
    elif kind == "poplar":
        x = place + tall * rng.normal(0, 0.02, (count, 4))
        widths, heights = tall * [0.12, 0.14, 0.1, 0.06], np.repeat(tall * 0.25, 4, 1)
        parts, trunk = (x, foot - tall * [0.3, 0.5, 0.72, 0.86], widths, heights), 0.3
    else:
        # crowns of leaves set on a sunflower's spiral
        leaves = np.arange(9 if height > 0.2 else 4)
        turn = rng.uniform(0, 6.28, (count, 1)) + leaves * 2.4
        out = np.sqrt((leaves + 0.5) / len(leaves))
        radius = tall * rng.uniform(0.15, 0.23, turn.shape)
        at = (place + 0.27 * tall * out * np.cos(turn), foot - tall * (0.64 + 0.2 * out * np.sin(turn)))
        parts, trunk = (*at, radius, 0.88 * radius), 0.6
    each = parts[0].shape[1]
    crowns = np.stack(parts, -1).reshape(-1, 4).astype(np.float32)
    # tall trees that grow together are of one kind, or their crowns would quarrel
    colours = np.repeat(rng.integers(4, size=count) if height < 0.2 else rng.integers(4, size=1).repeat(count), each)
    trunks = np.concatenate([place, foot - trunk * tall, foot, tall * 0.022 + 0.001], 1).astype(np.float32)
    left, middle, rx, ry = crowns.T
    top = middle - (0 if kind == "conifer" else ry)
    box = (float((left - rx).min()), float(top.min()), float((left + rx).max()), float((middle + ry).max()))
    return _Clump(crowns, colours, kind == "conifer", trunks, box)


def _hill(rng: np.random.Generator, base: float, near: float, peak: bool, hero: bool) -> _Hill:
    if peak:
        ridge = base - 0.075 * (1.5 - 1.6 * np.abs(_ridge(rng, 4, 4)))
    else:
        ridge = base + (0.045 - 0.02 * near) * _ridge(rng, 3, 3)
    if hero:  # the bank rises to one side
        ridge = ridge + rng.uniform(-0.16, 0.16) * (_GRID - 0.5)
    wooded = bool(rng.random() < 0.5) and not hero
    if wooded:
        ridge = ridge - 0.008 * np.abs(_ridge(rng, 32, 2))
    clumps = []
    if near > 0.2 and not hero:
        for _ in range(rng.integers(1, 4)):
            clumps.append(_clump(rng, ridge, rng.uniform(0, 1), 0.05 + 0.1 * near**2, int(rng.integers(2, 6))))
    if hero and rng.random() < 0.8:
        side = rng.choice([rng.uniform(0.04, 0.24), rng.uniform(0.76, 0.96)])
        clumps.append(_clump(rng, ridge, float(side), rng.uniform(0.34, 0.52), int(rng.integers(1, 3))))
    house = None
    if 0.3 < near < 0.9 and not hero and rng.random() < 0.45:
        x = float(rng.uniform(0.18, 0.82))
        house = (x, float(np.interp(x, _GRID, ridge)) + 0.022, 0.035 + 0.045 * near)
    reach = 1 if peak else 20  # rock shows every crag; elsewhere light follows the swell of the land
    slope = np.pad((ridge[2 * reach :] - ridge[: -2 * reach]) * (128 / reach), reach, "edge")
    return _Hill(ridge.astype(np.float32), slope.astype(np.float32), near, wooded, peak, tuple(clumps), house)


@lru_cache(maxsize=32)
def _scene(seed: int) -> _Scene:
    rng = np.random.default_rng([seed, 1])
    pool = (rng.random((128, 128), np.float32) - 0.5) * 3.46  # of unit spread, and quicker than normal ones
    first = int(rng.choice(5, p=[0.34, 0.18, 0.2, 0.14, 0.14]))
    blend = rng.uniform(0, 0.45)
    time = _TIMES[first] * (1 - blend) + _TIMES[(first + 1) % 4] * blend
    horizon = rng.uniform(0.42, 0.58)
    water = float(rng.uniform(0.6, 0.72)) if rng.random() < 0.55 else None
    sun = (float(rng.uniform(0.12, 0.88)), float(horizon - rng.uniform(0.16, 0.36)))
    count = int(rng.integers(2, 5))
    lowest = water - 0.045 if water else 0.7
    hills = []
    for k, base in enumerate(np.linspace(horizon - 0.04, lowest, count)):
        peak = k == 0 and rng.random() < 0.6
        hills.append(_hill(rng, base + rng.normal(0, 0.012), 0.08 + 0.72 * k / (count - 1), peak, False))
    bank = _hill(rng, rng.uniform(0.86, 0.95), 1.0, False, True)
    light = (0.75 if sun[0] > 0.5 else -0.75, -0.66)
    return _Scene(pool, time, sun, light, horizon, float(rng.uniform(-0.9, 0.9)), tuple(hills), water, bank)


# ---- composing the photograph ---------------------------------------------------------------------------------------


class _Canvas:
    """Planes being composed: colour, and what each pixel shows (strokes and contours ask)."""

    def __init__(self, size: int):
        self.size = size
        self.axis = ((np.arange(size) + 0.5) / size).astype(np.float32)
        self.index = np.arange(size)
        self.rgb = np.zeros((3, size, size), np.float32)
        self.labels = np.zeros((size, size), np.uint8)
        self.things = 1

    def window(self, left: float, top: float, right: float, foot: float) -> tuple[slice, slice]:
        low = [max(0, int(v * self.size) - 1) for v in (top, left)]
        high = [min(self.size, int(v * self.size) + 2) for v in (foot, right)]
        return slice(low[0], high[0]), slice(low[1], high[1])

    def lay(self, mask: Array, colour: Array, label: int, at: tuple[slice, slice] = (slice(None), slice(None))) -> None:
        """Cover the window `at` with `colour` (3, h, w) where `mask` (h, w) says so."""
        view = self.rgb[:, at[0], at[1]]
        view += mask * (colour - view)
        # eight labels of kinds, and the thing's number above them: two trees side by side keep a contour between
        self.things += 1
        np.copyto(self.labels[at], label + 8 * (self.things % 31), where=mask > 0.5)


def _plane(colour: Array | tuple[float, ...]) -> Array:
    return np.asarray(colour, np.float32)[:, None, None]


def _sky(canvas: _Canvas, scene: _Scene, palette: _Season) -> None:
    size, x, y = canvas.size, canvas.axis[None, :], canvas.axis[:, None]
    zenith, horizon, glow, cloud, shadow = (c[:, None, None] * _plane(palette.sky) for c in scene.time[:5])
    fall = unit(y / scene.horizon)
    rgb = zenith + (horizon - zenith) * (fall**1.25)
    far = np.sqrt((x - scene.sun[0]) ** 2 + (y - scene.sun[1]) ** 2)
    halo = 0.5 * np.exp(-far / 0.13) + 0.22 * np.exp(-far / 0.4)
    rgb = rgb + halo * (glow - rgb)
    rgb += unit((0.028 - far) * size + 0.5) * (glow - rgb)
    body = noise(scene.pool, size, 3, 4, 5, 0.45)
    above = noise(scene.pool, size, 3, 4, 4, 0.45, -0.035)
    cover = smooth(0.6, 1.25, body + scene.cloudiness * 0.75)
    bright = unit(0.62 + 0.55 * (body - above) + 0.25 * halo)
    rgb += (cover * 0.92) * (shadow + (cloud - shadow) * bright - rgb)
    canvas.rgb[:] = rgb
    canvas.labels[cover > 0.5] = SKY + 8  # a cloud is a thing with an outline


def _ground(
    canvas: _Canvas, scene: _Scene, palette: _Season, hill: _Hill, fields: tuple[Array, Array, Array], end: float
) -> None:
    """One hill with what stands on it, down to `end`, where something nearer hides it."""
    size = canvas.size
    ridge = np.interp(canvas.axis, _GRID, hill.ridge).astype(np.float32)
    top = max(0, int(ridge.min() * size) - 1)
    rows = slice(top, min(size, int(end * size) + 2))
    if rows.start >= rows.stop:
        return
    depth = canvas.axis[rows, None] - ridge
    patches, relief, leaf = (f[rows] for f in fields)
    if hill.peak:
        # rock with snow on the heights
        colour = _plane(palette.hill[2]) * (1 + 0.1 * relief + 0.05 * leaf)
        snow = smooth(0.03, -0.01, depth - 0.03 + 0.022 * relief + 0.01 * leaf + 0.35 * (ridge - 0.36))
        colour = colour + snow * (_plane((0.97, 0.98, 1.0)) - colour)
    elif hill.wooded:
        colour = _plane(palette.hill[0]) * (1 + 0.22 * leaf + 0.1 * relief)
    else:
        low, high = palette.ground[1], palette.ground[0]
        colour = _plane(low) + smooth(-0.6, 0.8, patches) * _plane(high - low)
        field = smooth(0.75, 0.95, patches + 0.4 * relief)
        colour = colour + field * (_plane(palette.ground[2]) - colour)
        colour *= 1 + palette.texture * (0.06 * relief + (0.04 + 0.06 * hill.near) * leaf)
        if hill.near == 1:
            colour = colour + smooth(1.5, 2.1, leaf - 0.3 * patches) * (_plane(palette.flowers) - colour)
    if hill.peak:
        # faces of rock run down aslant, so each point asks for the slope of the ridge some way beside it
        aside = (canvas.axis - 0.5 * scene.light[0] * depth + 0.012 * relief) * 256
        slope = hill.slope.take(aside.astype(np.int32), mode="clip")
    else:
        slope = np.interp(canvas.axis, _GRID, hill.slope).astype(np.float32)
    slope = np.clip(0.45 * scene.light[0] * slope, -0.22, 0.22)
    colour = colour * (1 + slope + np.clip(0.09 - 0.6 * depth, -0.2, 0.1))
    colour *= _plane(scene.time[6])
    # haze thickens with distance and gathers in the valleys
    haze = (1 - hill.near) ** 1.5 * (0.55 + np.clip(depth * 2.2, 0, 0.35))
    colour += haze * (_plane(scene.time[5]) - colour)
    canvas.lay(unit(depth * size + 0.5), colour, HILL if hill.near < 0.35 else MEADOW, (rows, slice(None)))
    if hill.house:
        _house(canvas, scene, hill.house, (1 - hill.near) ** 1.5 * 0.5)
    for clump in hill.clumps:
        _trees(canvas, scene, palette, clump, leaf=fields[2], haze=(1 - hill.near) ** 1.5 * 0.55)


def _trees(canvas: _Canvas, scene: _Scene, palette: _Season, clump: _Clump, leaf: Array, haze: float) -> None:
    size, light = canvas.size, _plane(scene.time[6])
    x, top, foot, half = clump.trunks.T[:, :, None, None]
    at = canvas.window(clump.box[0], clump.trunks[:, 1].min(), clump.box[2], clump.trunks[:, 2].max())
    beside = unit((half - np.abs(canvas.axis[at[1]] - x)) * size + 0.5)
    down = canvas.axis[at[0], None]
    bark = _plane((0.24, 0.18, 0.15)) * light
    bark = bark + haze * (_plane(scene.time[5]) - bark)
    canvas.lay((beside * ((down > top) & (down < foot))).max(0), bark, TREE, at)
    cx, cy, rx, ry = (column[:, None, None] for column in clump.crowns.T)
    at = canvas.window(*clump.box)
    u, v = (canvas.axis[at[1]] - cx) / rx, (canvas.axis[at[0], None] - cy) / ry
    if u.size == 0 or v.size == 0:
        return
    if clump.conifer:
        # a cone in tiers; v runs 0 at the tip to 1 at the foot
        tier = (v * 6) % 1.0
        half = v * (0.6 + 0.4 * tier)
        inside = np.minimum(half - np.abs(u), (1 - v) * 2)
    else:
        inside = (1 - u * u) - v * v
    best = inside.argmax(0)
    inside = inside.max(0)
    rows, columns = canvas.index[: best.shape[0], None], canvas.index[: best.shape[1]]
    u, v = u[best, 0, columns], v[best, rows, 0]
    if clump.conifer:
        lit = scene.light[0] * u / (half[best, rows, 0] + 0.15) - 0.5 * tier[best, rows, 0] + 0.2
    else:
        lit = scene.light[0] * u + scene.light[1] * v
    leaf = leaf[at]
    # distance to the outline in pixels, frayed by leaves
    edge = inside + (0.1 if clump.conifer else 0.22) * leaf
    mask = unit(edge * float(clump.crowns[:, 2].mean()) * size * (1.0 if clump.conifer else 0.5) + 0.5)
    whole = (canvas.axis[at[0], None] - clump.box[1]) / (clump.box[3] - clump.box[1])
    shade = unit(0.68 + 0.42 * lit + 0.17 * leaf - 0.35 * whole)
    if clump.conifer:
        bright, dark = _plane(palette.conifer[0]), _plane(palette.conifer[1])
    else:
        kind = clump.colours[best]
        bright, dark = palette.lit.T[:, kind], palette.shaded.T[:, kind]
    colour = (dark + shade * (bright - dark)) * light
    canvas.lay(mask, colour + haze * (_plane(scene.time[5]) - colour), TREE, at)


def _house(canvas: _Canvas, scene: _Scene, house: tuple[float, float, float], haze: float) -> None:
    x, foot, tall = house
    at = canvas.window(x - tall, foot - 1.3 * tall, x + tall, foot)
    h, v, size = canvas.axis[at[1]] - x, foot - canvas.axis[at[0], None], canvas.size
    light, fog = _plane(scene.time[6]), _plane(scene.time[5])

    def box(left: float, right: float, low: float, high: float) -> Array:
        inside = np.minimum(np.minimum(h - left * tall, right * tall - h), np.minimum(v - low * tall, high * tall - v))
        return unit(inside * size + 0.5)

    wall, roof, pane = hexes("f1e7d3 a8452f 33404f")
    lit = 1 + 0.12 * np.sign(h * scene.light[0] * -1)
    slope = np.minimum(1.05 * tall - v - 0.62 * np.abs(h), v - 0.52 * tall)
    for mask, colour in (
        (box(0.3, 0.45, 0.6, 1.2), roof * 0.7),
        (box(-0.68, 0.68, 0, 0.6), wall),
        (unit(np.minimum(slope, 0.82 * tall - np.abs(h)) * size + 0.5), roof),
        (box(-0.4, -0.2, 0.18, 0.42), pane),
        (box(0.15, 0.38, 0.0, 0.42), pane),
    ):
        colour = _plane(colour) * light * lit
        canvas.lay(mask, colour + haze * (fog - colour), HOUSE, at)


def _lake(canvas: _Canvas, scene: _Scene, palette: _Season) -> None:
    """Everything above the shore, mirrored and broken by waves that grow towards us."""
    size, shore = canvas.size, scene.water
    assert shore is not None  # only scenes with a lake come here
    top = round(shore * size)
    depth = canvas.axis[top:, None] - shore
    waves = noise(scene.pool[40:], size, 5, 28, 1, -0.6)[top:]
    source = (shore - depth * 1.15 - (0.012 + 0.16 * depth) * waves * 0.35) * size
    rows = np.clip(source.astype(np.int32), 0, top - 1)
    mirror = canvas.rgb[:, rows, np.arange(size)]
    keep = palette.reflect * (1 - 0.45 * depth / (1 - shore))
    tint = _plane(palette.water) * _plane(scene.time[6]) * (1 + 0.05 * waves)
    colour = tint + keep * (mirror * 0.96 - tint)
    glint = smooth(0.9, 1.7, waves) * np.exp(-(((canvas.axis - scene.sun[0]) / 0.12) ** 2)) * 0.55
    colour += glint * (_plane(scene.time[2]) - colour)
    colour += np.exp(-depth / 0.006) * (_plane(palette.water) * 0.6 - colour) * 0.5
    at = (slice(top, size), slice(None))
    canvas.lay(np.ones_like(waves), colour, WATER, at)


def _compose(scene: _Scene, palette: _Season, size: int) -> _Canvas:
    canvas = _Canvas(size)
    _sky(canvas, scene, palette)
    pool = scene.pool
    fields = (
        noise(pool[20:], size, 4, 14, 1, -0.5),
        noise(pool[10:, 30:], size, 7, 9, 2),
        noise(pool[5:, 12:], size, 40, 44, 2) - 0.8 * noise(pool[5:, 12:], size, 40, 44, 2, 0.0, -0.012),
    )
    ends = [float(hill.ridge.max()) for hill in (*scene.hills[1:], scene.bank)]
    if scene.water:
        ends[-1] = scene.water
    for hill, end in zip(scene.hills, ends, strict=True):
        _ground(canvas, scene, palette, hill, fields, end)
    if scene.water:
        _lake(canvas, scene, palette)
    _ground(canvas, scene, palette, scene.bank, fields, 1.0)
    off = (canvas.axis - 0.5) ** 2
    canvas.rgb *= 1.03 - 0.2 * (off + off[:, None])  # a lens lets less light into the corners
    np.clip(canvas.rgb, 0, 1, out=canvas.rgb)
    return canvas


# ---- painting it ----------------------------------------------------------------------------------------------------

# What painting makes of a colour (seen, painted): the quadratic map nearest these pairs is smooth and can be undone.
_PAIRS = hexes("""
    3f7fc8 1b7f9c  6f9fd0 6aa79c  bcdcf0 f3c07c  f6e6cc ffc468  f29f88 f07c50  7d9a45 a8627c  c3b264 f0b838
    1c361c 3c1468  3f5f35 5c3a8a  8a8f98 b4808e  41708c 3f54a8  ffffff fff0c4  46559a 4f349c  a8452f d0322e
    4a3a20 6a1c54  a9c4dc d8a886  5d7f38 8a4c82  ffd090 ffae50  6a8a92 7a6cae  000000 240c48  b08ea8 b46e92
""")


def _terms(colours: Array) -> Array:
    r, g, b = colours
    return np.stack([np.ones_like(r), r, g, b, r * r, g * g, b * b, r * g, g * b, r * b])


_SEEN, _MIXED = _terms(_PAIRS[::2].T), _PAIRS[1::2].T
# a little ridge keeps the curvature gentle between the pairs
_TO_PAINT = (_MIXED @ _SEEN.T @ np.linalg.inv(_SEEN @ _SEEN.T + 0.01 * np.eye(10))).astype(np.float32)


def _repaint(colours: Array) -> Array:
    """The painted palette for colours (3, ...)."""
    # a little past the pairs: paintings exaggerate
    return colours + 1.2 * (np.tensordot(_TO_PAINT, _terms(colours), 1) - colours)


# How strokes lie on each kind of thing, in radians from the horizontal.
_LIE = np.array([-0.25, 0.5, 0.15, 0.0, 1.15, 1.4, 0, 0], np.float32)


def _strokes(canvas: _Canvas, scene: _Scene, cells: int, aspect: float, rng: np.random.Generator) -> tuple:
    """Cover the image with brush strokes: (which stroke, along it, across it) for each pixel, and their anchors.

    Anchors are jittered on a grid; a pixel belongs to the nearest of the 9 around it, in the metric of each one's
    ellipse less a random head start, as strokes painted later lie on top.
    """
    size, wide = canvas.size, cells + 4
    grid = np.arange(wide, dtype=np.float32) - 1.5
    jitter = rng.uniform(-0.45, 0.45, (2, wide, wide)).astype(np.float32)
    x, y = (grid + jitter[0]).ravel(), (grid[:, None] + jitter[1]).ravel()
    px, py = (np.clip(v * (size / cells), 0, size - 1).astype(np.int32) for v in (x, y))
    flow = noise(scene.pool[50:, 20:], size, 3, 3)[py, px]
    angle = _LIE[canvas.labels[py, px] & 7] + 0.35 * flow + rng.normal(0, 0.12, wide * wide).astype(np.float32)
    long, short = np.sqrt(aspect), 1 / np.sqrt(aspect)
    ux, uy = np.cos(angle), np.sin(angle)
    table = np.stack([ux / long, uy / long, -uy / short, ux / short, rng.uniform(0, 0.5, x.size)]).astype(np.float32)
    # distances from the pixel are linear in it: fold the anchor in once, so that each neighbour costs two products
    along0, across0 = table[0] * x + table[1] * y, table[2] * x + table[3] * y
    at = canvas.axis * cells
    cell = at.astype(np.int32) + 2
    home = cell[:, None] * wide + cell
    X, Y = np.broadcast_to(at, (size, size)), np.broadcast_to(at[:, None], (size, size))
    nearest = np.full((size, size), np.inf, np.float32)
    which, u_best, v_best = home.copy(), np.zeros_like(nearest), np.zeros_like(nearest)
    for step in (d * wide + e for d in (-1, 0, 1) for e in (-1, 0, 1)):
        near = home + step
        u = table[0].take(near) * X + table[1].take(near) * Y - along0.take(near)
        v = table[2].take(near) * X + table[3].take(near) * Y - across0.take(near)
        far = u * u + v * v + table[4].take(near)
        closer = far < nearest
        for best, new in ((nearest, far), (which, near), (u_best, u), (v_best, v)):
            np.copyto(best, new, where=closer)
    return which, u_best, v_best, px, py


def _painting(seed: int, size: int, salt: int = 2) -> Array:
    """The scene in oils; `salt` chooses the strokes."""
    scene = _scene(seed)
    canvas = _compose(scene, _PALETTES["photo"], size)
    rng = np.random.default_rng([seed, salt])
    which, _, v, px, py = _strokes(canvas, scene, 32, 3.0, rng)
    seen = canvas.rgb[:, py, px]
    loose = rng.standard_normal((4, px.size), np.float32)
    dabs = _repaint(seen) + 0.02 * loose[:1] + 0.015 * loose[1:]
    # between the strokes the layer below shows, and keeps small things whole
    rgb = 0.7 * dabs.take(which, 1) + 0.3 * _repaint(canvas.rgb)
    # light on the ridge of each stroke, and the hairs of the brush where there are pixels for them
    rgb += 0.03 * v + 0.03 * min(1.0, size / 256) * np.sin(v * 14 + which)
    return unit(rgb)


def _photo(seed: int, season: str, size: int) -> Array:
    """The scene as a camera sees it: with a little grain."""
    scene = _scene(seed)
    canvas = _compose(scene, _PALETTES[season], size)
    repeats = -(-size // 128)
    grain = np.tile(scene.pool[::-1], (repeats, repeats))[:size, :size]
    return canvas.rgb + 0.006 * grain


def _outline(canvas: _Canvas, reach: int) -> Array:
    """1 where one thing meets another, in lines `reach` pixels wide."""
    labels, line = canvas.labels, np.zeros(canvas.labels.shape, np.float32)
    line[reach:] = labels[reach:] != labels[:-reach]
    line[:, reach:] = np.maximum(line[:, reach:], labels[:, reach:] != labels[:, :-reach])
    return line


def _edges(seed: int, size: int) -> Array:
    """Contours in dark pencil on white: outlines of things, and fainter the strong steps of light inside them."""
    canvas = _compose(_scene(seed), _PALETTES["photo"], 2 * size)
    reach = max(1, size // 96)
    grey = canvas.rgb.mean(0)
    inner = sum(np.abs(grey - np.roll(grey, reach, axis)) for axis in (0, 1))
    inner[:reach], inner[:, :reach] = 0, 0  # what the roll wrapped around
    ink = np.maximum(_outline(canvas, reach), 0.8 * unit(inner * (5 * max(1.0, size / 96) ** 0.5) - 0.5))
    ink = unit(1.25 * ink.reshape(size, 2, size, 2).mean((1, 3)))
    return 1 - ink * (1 - _plane((0.13, 0.13, 0.2)))


def _pointillist(seed: int, size: int) -> Array:
    """Round dots of strong colour on a cream ground; the eye mixes them."""
    scene, rng = _scene(seed), np.random.default_rng([seed, 3])
    canvas = _compose(scene, _PALETTES["photo"], size)
    which, u, v, px, py = _strokes(canvas, scene, 36, 1.0, rng)
    dots = canvas.rgb[:, py, px]
    grey = dots.mean(0)
    dots = grey + 1.55 * (dots - grey) + 0.06
    dots = (dots + 0.13 * rng.choice([-1, 1], (3, px.size)) * rng.random((3, px.size))).astype(np.float32)[:, which]
    cover = unit((0.5 - np.sqrt(u * u + v * v)) * (size / 36) + 0.75)
    return 0.12 + 0.88 * (_plane((0.96, 0.92, 0.82)) + cover * (dots - _plane((0.96, 0.92, 0.82))))


def _woodcut(seed: int, size: int) -> Array:
    """Dark lines cut along the land, swelling where it is dark, over a few flat inks on paper."""
    scene = _scene(seed)
    canvas = _compose(scene, _PALETTES["photo"], size)
    grey = canvas.rgb.mean(0)
    # three flat tones of the scene's own colour, printed on warm paper
    tone = 0.35 + 0.6 * np.round(grey * 3.2) / 3.2
    flat = (tone + 1.15 * (canvas.rgb - grey)) * _plane((1.0, 0.95, 0.82))
    lines = canvas.axis[:, None] * 26 + 0.6 * noise(scene.pool[50:, 20:], size, 3, 3)
    wave = 2 * np.abs(lines % 1.0 - 0.5)
    ink = unit((wave - 0.3 - 1.3 * grey) * (size / 26) * 0.5 + 0.5)
    ink = np.maximum(ink, _outline(canvas, max(1, size // 128)))
    return flat + ink * (_plane((0.13, 0.14, 0.24)) - flat)


def _watercolour(seed: int, size: int) -> Array:
    """Pale washes that wander over the outlines, pool dark at their edges and leave the paper's border white."""
    scene = _scene(seed)
    canvas = _compose(scene, _PALETTES["photo"], size)
    pool = scene.pool
    wander = [noise(pool[a:, a:], size, 9, 9, 2) * (0.008 * size) for a in (50, 60)]
    grid = zip(np.indices((size, size)), wander, strict=True)
    rows, columns = (np.clip(i + w, 0, size - 1).astype(np.int32) for i, w in grid)
    wash = canvas.rgb[:, rows, columns]
    grey = wash.mean(0)
    edge = sum(np.abs(np.roll(grey, max(1, size // 64), a) - np.roll(grey, -max(1, size // 64), a)) for a in (0, 1))
    wash = grey + 1.5 * (wash - grey)
    wash = 1 - (1 - wash) * (0.62 + 0.09 * wander[0] / (0.008 * size)) - 0.28 * np.minimum(edge, 0.5)
    rim = np.minimum(canvas.axis, 1 - canvas.axis)
    rim = np.minimum(rim, rim[:, None]) - 0.05 + 0.018 * wander[1] / (0.008 * size)
    paper = 0.98 + 0.012 * noise(pool, size, 60, 60)
    return paper + smooth(-0.012, 0.012, rim) * (unit(wash) * paper - paper)


def _nocturne(seed: int, size: int) -> Array:
    """Night in long swirling strokes: blues by lightness, and gold where the day was brightest."""
    scene, rng = _scene(seed), np.random.default_rng([seed, 4])
    canvas = _compose(scene, _PALETTES["photo"], size)
    which, _, v, px, py = _strokes(canvas, scene, 34, 3.4, rng)
    rgb = 0.75 * canvas.rgb[:, py, px][:, which] + 0.25 * canvas.rgb
    grey = rgb.mean(0)
    blues = hexes("050818 10254f 2f62a8 d8cf7a fff3b0")
    night = np.stack([np.interp(grey, (0, 0.35, 0.7, 0.88, 1), channel) for channel in blues.T])
    night += 0.22 * (rgb - grey) + 0.045 * v + min(1.0, size / 256) * 0.03 * np.sin(v * 13 + which)
    return night


_PAINTERS: dict[str, Callable[[int, int], Array]] = {
    "painting": _painting,
    "edges": _edges,
    "pointillist": _pointillist,
    "woodcut": _woodcut,
    "watercolour": _watercolour,
    "nocturne": _nocturne,
}


def render(seed: int, rendering: str, size: int) -> Array:
    """Draw the scene of `seed` in one of `RENDERINGS`.

    The seed fixes everything that is there to be seen (sky, sun, clouds, hills, water, trees, house), alike in every
    rendering and at every size. Returns uint8 (size, size, 3) on 0..255.
    """
    if rendering not in RENDERINGS:
        raise GanzooError(f"There is no landscape rendering '{rendering}'. Available: {', '.join(RENDERINGS)}.")
    image = _PAINTERS[rendering](seed, size) if rendering in _PAINTERS else _photo(seed, rendering, size)
    return (unit(image).transpose(1, 2, 0) * 255 + 0.5).astype(np.uint8)
