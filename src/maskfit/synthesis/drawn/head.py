"""Neck, ears and the skin of the face: shape, shading, marks and wrinkles."""

from __future__ import annotations

import numpy as np

from maskfit.synthesis.drawn.canvas import Airbrush
from maskfit.synthesis.drawn.colors import blend
from maskfit.synthesis.drawn.curves import Points, ellipse, mirrored, spline, tapered
from maskfit.synthesis.drawn.drawing_context import DrawingContext


def outline(ctx: DrawingContext) -> Points:
    """Computes the face's outline with chin and jaw, in head units, as a closed path."""
    face, sag = ctx.person.face, ctx.person.aging.sag
    half = [
        (0.0, -1.40),
        (0.45, -1.31),
        (0.80, -0.98),
        (0.94, -0.45),
        (face.cheek, 0.0),
        (face.cheek - 0.035, 0.42),
        (face.jaw + 0.13 + 0.02 * sag, 0.80),
        (face.jaw - 0.02 + 0.055 * sag, 1.06 + 0.02 * sag),
        (face.chin + 0.17 + 0.05 * sag, 0.86 * face.length + 0.07),
        (face.chin * 0.62, face.length - 0.015),
        (0.0, face.length + 0.005),
    ]
    # Both ends of the half lie on the axis of mirrored(), so one copy of the last point is dropped.
    ring = mirrored(half)
    return spline(ring[1:], closed=True)


def outline_pixels(ctx: DrawingContext) -> Points:
    """Computes the face's outline in canvas pixels: the chin has depth, the skull's rim has none."""
    path = outline(ctx)
    depth = 0.55 * np.clip((path[:, 1] - 0.35) / 1.0, 0, 1) ** 1.2
    return ctx.face(path, depth)


def draw_neck(ctx: DrawingContext) -> None:
    """Draws neck and upper chest with the chin's shadow."""
    face, tones, light = ctx.person.face, ctx.tones, ctx.scene.light
    width = face.neck
    half = [(width, 0.6), (width - 0.02, 1.35), (width + 0.03, 1.72), (width + 0.13, 1.88), (width + 0.2, 2.1)]
    half += [(0.9, 2.5), (0.9, 3.4)]
    right = spline(half)
    shape = ctx.body(np.concatenate([right, right[::-1] * (-1, 1)]))
    brush = ctx.canvas.airbrush(blend(tones.skin, tones.shade, 0.25))
    x, y = ctx.to_pixel(0, 1.42, 0.3)
    brush.blob(
        np.stack([x, y]) + ellipse(0, 0, ctx.to_pixels(0.85), ctx.to_pixels(0.42)),
        blend(tones.shade, tones.deep, 0.45),
        0.85,
        ctx.to_pixels(0.09),
    )
    edge = ctx.body([(-light * 0.6, 1.6)])[0]
    brush.glow(edge[0], edge[1], ctx.to_pixels(0.42), ctx.to_pixels(0.9), tones.shade, 0.6)
    ctx.canvas.paint([shape], brush)
    strength = 0.10 + 0.25 * ctx.person.aging.sag
    for side in (-1, 1):
        cord = spline([(side * width * 0.72, 1.62), (side * width * 0.42, 1.85), (side * width * 0.2, 2.02)])
        ctx.canvas.fill(tapered(ctx.body(cord), ctx.to_pixels(0.022)), tones.deep, strength)
        bone = spline([(side * 0.12, 2.04), (side * 0.4, 1.98), (side * 0.72, 1.99)])
        ctx.canvas.fill(tapered(ctx.body(bone), ctx.to_pixels(0.024)), tones.deep, 0.22)


def draw_ears(ctx: DrawingContext) -> None:
    """Draws both ears; the face covers their inner rim later."""
    size, tones = ctx.person.face.ear_size, ctx.tones
    for side in (-1, 1):
        rim = np.array(
            [(0.86, -0.14), (0.98, -0.22), (1.10, -0.15), (1.13, 0.04), (1.06, 0.27), (0.99, 0.44), (0.90, 0.42)]
        )
        rim = (rim - (0.92, 0.1)) * size + (0.92, 0.1)
        shape = ctx.face(spline(rim * (side, 1), closed=True), -0.12)
        brush = ctx.canvas.airbrush(blend(tones.skin, tones.blush, 0.35))
        if side * ctx.scene.light < 0:
            brush = ctx.canvas.airbrush(blend(tones.shade, tones.blush, 0.3))
        x, y = ctx.to_pixel(side * 1.01, 0.1, -0.12)
        brush.glow(x, y, ctx.to_pixels(0.11), ctx.to_pixels(0.22), tones.deep, 0.55)
        ctx.canvas.paint([shape], brush)
        fold = [(1.0, -0.09), (1.065, -0.06), (1.06, 0.1), (1.01, 0.2)]
        ctx.canvas.fill(tapered(ctx.face(spline(fold) * (side, 1), -0.12), ctx.to_pixels(0.03)), tones.line, 0.55)


def draw_earrings(ctx: DrawingContext) -> None:
    """Draws the earrings, in front of hair that is tucked behind the ear."""
    kind = ctx.person.accessories.earrings
    if not kind:
        return
    gold, white = (222, 180, 92), (246, 242, 236)
    for side in (-1, 1):
        x, y = ctx.to_pixel(side * 1.0, 0.42, -0.1)
        unit = ctx.to_pixels(1)
        if kind == "hoop":
            ring = ellipse(x, y + 0.13 * unit, 0.09 * unit, 0.13 * unit)
            ring = np.concatenate([ring, ring[:1]])
            hole = ellipse(x, y + 0.13 * unit, 0.066 * unit, 0.106 * unit)
            ctx.canvas.fill(np.concatenate([ring, hole[::-1], hole[-1:], ring[:1]]), gold)
        elif kind == "drop":
            ctx.canvas.fill(ellipse(x, y + 0.02 * unit, 0.025 * unit, 0.025 * unit), gold)
            drop = spline(
                [
                    (x, y + 0.04 * unit),
                    (x + 0.05 * unit, y + 0.19 * unit),
                    (x, y + 0.24 * unit),
                    (x - 0.05 * unit, y + 0.19 * unit),
                ],
                closed=True,
            )
            ctx.canvas.fill(drop, blend(gold, ctx.person.accessories.headwear_color, 0.7))
        else:
            size = 0.045 if kind == "pearl" else 0.03
            ctx.canvas.fill(ellipse(x, y, size * unit, size * unit), white if kind == "pearl" else gold)
            ctx.canvas.fill(ellipse(x - 0.01 * unit, y - 0.012 * unit, 0.012 * unit, 0.012 * unit), (255, 255, 255))


def draw_skin(ctx: DrawingContext) -> None:
    """Draws the face's skin with shading, blush and soft signs of age; wrinkles are drawn over it later."""
    tones, scene = ctx.tones, ctx.scene
    brush = ctx.canvas.airbrush(tones.skin)
    _shade_form(ctx, brush)
    _shade_aging(ctx, brush)
    bloom = ctx.person.aging.bloom
    for side in (-1, 1):
        x, y = ctx.to_pixel(side * 0.56, 0.46)
        brush.glow(x, y, ctx.to_pixels(0.36), ctx.to_pixels(0.27), tones.blush, 0.26 + 0.56 * bloom)
    x, y = ctx.to_pixel(0.22 * scene.light, -0.62)
    brush.glow(x, y, ctx.to_pixels(0.55), ctx.to_pixels(0.34), tones.light, 0.36 + 0.34 * bloom)
    ctx.canvas.paint([outline_pixels(ctx)], brush)
    _draw_marks(ctx)


def _shade_form(ctx: DrawingContext, brush: Airbrush) -> None:
    tones, scene = ctx.tones, ctx.scene
    dark_side = -1.0 if scene.light > 0 else 1.0
    amount = (0.35 + 0.5 * abs(scene.light)) * min(1.0, scene.contrast)
    x, y = ctx.to_pixel(dark_side * 1.02, 0.35, 0.0)
    brush.glow(x, y, ctx.to_pixels(0.72), ctx.to_pixels(1.7), tones.shade, amount)
    x, y = ctx.to_pixel(-dark_side * 1.04, 0.4, 0.0)
    brush.glow(x, y, ctx.to_pixels(0.34), ctx.to_pixels(1.3), tones.shade, 0.45)
    x, y = ctx.to_pixel(0, ctx.person.face.length + 0.14, 0.5)
    brush.glow(x, y, ctx.to_pixels(0.8), ctx.to_pixels(0.32), tones.shade, 0.6)
    for side in (-1, 1):  # eye sockets next to the bridge of the nose
        x, y = ctx.to_pixel(side * ctx.person.face.eye_spacing * 0.72, -0.10)
        brush.glow(x, y, ctx.to_pixels(0.30), ctx.to_pixels(0.20), tones.shade, 0.55)
    x, y = ctx.to_pixel(-dark_side * 0.6, 0.28)
    brush.glow(x, y, ctx.to_pixels(0.30), ctx.to_pixels(0.18), tones.light, 0.5)
    x, y = ctx.to_pixel(0, ctx.person.face.length - 0.2)
    brush.glow(x, y, ctx.to_pixels(0.2), ctx.to_pixels(0.14), tones.light, 0.22)


def _shade_aging(ctx: DrawingContext, brush: Airbrush) -> None:
    tones, aging, face = ctx.tones, ctx.person.aging, ctx.person.face
    brush.gradient(
        -2 * ctx.to_pixels(1), 9 * ctx.to_pixels(1), blend(tones.skin, (186, 160, 140), 0.5), 0.36 * aging.sag
    )
    for height in (-0.52, -0.67, -0.81):  # soft shade of the furrows, visible where their lines are too fine
        x, y = ctx.to_pixel(0.0, height)
        brush.glow(
            x,
            y,
            ctx.to_pixels(0.58),
            ctx.to_pixels(0.085),
            blend(tones.shade, tones.deep, 0.3),
            0.75 * aging.forehead,
        )
    for side in (-1, 1):
        x, y = ctx.to_pixel(side * face.eye_spacing * 0.97, 0.21)
        crow_x, crow_y = ctx.to_pixel(side * (face.eye_spacing + face.eye_size + 0.10), 0.04)
        brush.glow(crow_x, crow_y, ctx.to_pixels(0.16), ctx.to_pixels(0.17), tones.shade, 0.8 * aging.eyes)
        brush.glow(
            x, y, ctx.to_pixels(0.25), ctx.to_pixels(0.12), blend(tones.shade, tones.deep, 0.5), 0.55 * aging.bags
        )
        x, y = ctx.to_pixel(side * (face.jaw - 0.16), 1.10)
        brush.glow(x, y, ctx.to_pixels(0.20), ctx.to_pixels(0.18), tones.shade, 0.75 * aging.sag)
        x, y = ctx.to_pixel(side * 0.66, 0.68)
        brush.glow(x, y, ctx.to_pixels(0.17), ctx.to_pixels(0.36), tones.shade, 0.70 * aging.sag)
        x, y = ctx.to_pixel(side * 0.80, -0.42)
        brush.glow(x, y, ctx.to_pixels(0.18), ctx.to_pixels(0.30), tones.shade, 0.55 * aging.sag)


def _draw_marks(ctx: DrawingContext) -> None:
    tones, accessories, aging = ctx.tones, ctx.person.accessories, ctx.person.aging
    # Seeded by the person: marks are the same in all photos.
    rng = np.random.default_rng([ctx.person.seed, ctx.person.number])
    if accessories.freckles:
        for _ in range(int(34 * accessories.freckles)):
            x, y = rng.normal(0, 0.36), rng.normal(0.33, 0.12)
            spot = ctx.to_pixel(float(np.clip(x, -0.8, 0.8)), float(y))
            radius = ctx.to_pixels(rng.uniform(0.010, 0.019))
            ctx.canvas.fill(ellipse(*spot, radius, radius, count=8), tones.line, 0.30)
    for _ in range(int(7 * aging.spots)):
        side = rng.choice((-1, 1))
        spot = ctx.to_pixel(float(side * rng.uniform(0.5, 0.85)), float(rng.uniform(-0.75, 0.6)))
        radius = ctx.to_pixels(rng.uniform(0.02, 0.045))
        ctx.canvas.fill(ellipse(*spot, radius, radius * 0.8, count=12), tones.line, 0.20)
    for x, y in accessories.moles:
        radius = ctx.to_pixels(0.022)
        ctx.canvas.fill(ellipse(*ctx.to_pixel(x, y), radius, radius, count=10), tones.deep, 0.85)


def draw_lines(ctx: DrawingContext) -> None:
    """Draws wrinkles: forehead, frown, crow's feet, bags, nasolabial folds, corners of the mouth."""
    aging, face, tones = ctx.person.aging, ctx.person.face, ctx.tones

    def line(points: list[tuple[float, float]], strength: float, width: float = 0.031) -> None:
        if strength > 0.04:
            stroke = tapered(ctx.face(spline(points)), ctx.to_pixels(width * (0.7 + 0.5 * strength)))
            ctx.canvas.fill(stroke, tones.line, min(0.68, 0.10 + 0.58 * strength))

    for index, height in enumerate((-0.56, -0.70, -0.83)):
        strength = aging.forehead * 1.25 - 0.18 * index
        reach = 0.50 - 0.07 * index
        line(
            [
                (-reach, height + 0.04),
                (-0.2, height - 0.01),
                (0.02, height + 0.02),
                (0.24, height - 0.015),
                (reach, height + 0.035),
            ],
            strength,
        )
    for side in (-1, 1):
        line([(side * 0.075, -0.33), (side * 0.065, -0.22)], aging.forehead - 0.12)
        corner = face.eye_spacing + face.eye_size
        for index, (dy, end) in enumerate(((-0.02, -0.09), (0.03, 0.05), (0.075, 0.17))):
            reach = 0.11 + 0.09 * aging.eyes - 0.01 * index
            line(
                [
                    (side * (corner + 0.045), dy),
                    (side * (corner + 0.05 + reach * 0.5), (dy + end) / 2 + 0.005),
                    (side * (corner + 0.05 + reach), end),
                ],
                aging.eyes * 1.2 - 0.12 * index,
            )
        eye = face.eye_spacing
        line([(side * (eye - 0.17), 0.17), (side * (eye - 0.03), 0.235), (side * (eye + 0.13), 0.205)], aging.bags)
        line(
            [(side * (eye - 0.16), 0.235), (side * (eye + 0.0), 0.315), (side * (eye + 0.17), 0.27)],
            aging.bags * 1.3 - 0.45,
        )
        wing = face.nose_width
        smile = 0.25 * ctx.scene.smile
        line(
            [
                (side * (wing + 0.03), face.nose_length - 0.08),
                (side * (wing + 0.16), face.nose_length + 0.08),
                (side * (face.mouth_width + 0.10), 0.93),
            ],
            min(1.0, aging.folds * 1.1 + smile * 0.5),
            0.032,
        )
        line(
            [
                (side * (face.mouth_width + 0.02), 1.02),
                (side * (face.mouth_width + 0.05), 1.14),
                (side * (face.mouth_width + 0.03), 1.23),
            ],
            aging.sag * 1.1 - 0.15,
            0.03,
        )
        line([(side * 0.77, 0.44), (side * 0.73, 0.60), (side * 0.67, 0.74)], aging.sag * 0.6 - 0.3, 0.024)
