"""Eyes, eyebrows, nose, mouth and glasses."""

from __future__ import annotations

import numpy as np

from maskfit.synthesis.drawn.colors import Color, blend, luminance, scale_brightness
from maskfit.synthesis.drawn.curves import Points, ellipse, ribbon, spline, tapered, translated
from maskfit.synthesis.drawn.drawing_context import DrawingContext

MOUTH_LEVEL = 0.93
"""Height of the mouth in head units."""
_WHITE: Color = (250, 248, 244)


def mouth_corners(ctx: DrawingContext) -> tuple[tuple[float, float], tuple[float, float]]:
    """Computes the corners of the mouth in head units, left in the image first."""
    lift = 0.105 * (ctx.scene.smile - 0.22) - 0.02 * ctx.person.aging.sag
    width = ctx.person.face.mouth_width * (0.92 + 0.16 * ctx.scene.smile)
    return (-width, MOUTH_LEVEL - lift), (width, MOUTH_LEVEL - lift)


def _lids(ctx: DrawingContext, side: int) -> tuple[Points, Points]:
    """Returns upper and lower lid from the inner to the outer corner, in head units."""
    face, scene, aging = ctx.person.face, ctx.scene, ctx.person.aging
    half, middle = face.eye_size, face.eye_spacing
    opening = half * face.eye_open * min(scene.eye_open, 1.25)
    if scene.eye_open < 0.2:
        opening = -0.02
    squint = 0.14 * scene.smile
    droop = 0.045 * aging.sag
    tilt = face.eye_tilt
    up, down = opening * 1.12, opening * (0.80 - squint)
    upper = [
        (-half, 0.035),
        (-0.62 * half, -up * 0.68),
        (-0.05 * half, -up),
        (0.55 * half, -up * 0.80 + droop * 0.5),
        (half, -0.01 - tilt + droop),
    ]
    lower = [
        (-half, 0.035),
        (-0.5 * half, down * 0.72),
        (0.1 * half, down),
        (0.62 * half, down * 0.68 - tilt * 0.4),
        (half, -0.01 - tilt + droop),
    ]
    shift = np.array((middle, 0.0))
    flip = np.array((side, 1.0))
    return (spline(upper) + shift) * flip, (spline(lower) + shift) * flip


def draw_eyes(ctx: DrawingContext) -> None:
    """Draws both eyes with lids, lashes and make-up."""
    for side in (-1, 1):
        upper, lower = _lids(ctx, side)
        top, bottom = ctx.face(upper), ctx.face(lower)
        _draw_lid(ctx, upper)
        if ctx.scene.eye_open >= 0.2:
            _draw_eyeball(ctx, side, top, bottom)
        _draw_lashes(ctx, side, top, bottom)


def _draw_lid(ctx: DrawingContext, upper: Points) -> None:
    face, accessories, tones = ctx.person.face, ctx.person.accessories, ctx.tones
    crease = 0.035 + 0.055 * face.lid_fold
    fold = upper.copy()
    rise = np.sin(np.linspace(0.15, np.pi * 0.96, len(upper))) * crease
    fold[:, 1] -= rise
    lid = ctx.face(np.concatenate([upper, fold[::-1]]))
    if accessories.eyeshadow:
        shade = blend(tones.deep, accessories.lip_color, 0.45)
        ctx.canvas.fill(lid, shade, 0.42 * accessories.eyeshadow)
    else:
        ctx.canvas.fill(lid, tones.shade, 0.35)
    if face.lid_fold > 0.25:
        ctx.canvas.fill(tapered(ctx.face(fold), ctx.to_pixels(0.026), 0.2, 0.2), tones.line, 0.60)


def _draw_eyeball(ctx: DrawingContext, side: int, top: Points, bottom: Points) -> None:
    person, scene = ctx.person, ctx.scene
    opening = np.concatenate([top, bottom[::-1]])
    aged = blend(_WHITE, (238, 226, 208), person.aging.sag)
    radius = ctx.to_pixels(person.face.eye_size * 0.60)
    reach = person.face.eye_size
    x, y = ctx.to_pixel(
        side * person.face.eye_spacing + 0.30 * reach * scene.gaze[0], -0.026 + 0.14 * reach * scene.gaze[1]
    )
    iris = person.face.iris
    with ctx.canvas.inside(opening) as eye:
        eye.fill(opening, aged)
        eye.fill(ellipse(x, y, radius, radius), scale_brightness(iris, 0.62))
        eye.fill(ellipse(x, y, radius * 0.84, radius * 0.84), iris)
        eye.fill(ellipse(x, y + radius * 0.30, radius * 0.56, radius * 0.46), blend(iris, (255, 220, 170), 0.30))
        eye.fill(ellipse(x, y, radius * 0.46, radius * 0.46), (20, 16, 18))
        # The upper lid's shadow makes the eyeball look round.
        eye.fill(ribbon(translated(top, 0, ctx.to_pixels(0.012)), ctx.to_pixels(0.055)), (60, 44, 50), 0.30)
        glint = 0.34 * (1 if scene.light > 0 else -1)
        eye.fill(ellipse(x + glint * radius, y - 0.36 * radius, radius * 0.23, radius * 0.23), (255, 255, 255))
        eye.fill(ellipse(x - glint * radius, y + 0.40 * radius, radius * 0.11, radius * 0.11), (255, 255, 255), 0.6)
        inner = top[0]
        eye.fill(ellipse(inner[0], inner[1], ctx.to_pixels(0.035), ctx.to_pixels(0.03)), (222, 150, 140), 0.8)


def _draw_lashes(ctx: DrawingContext, side: int, top: Points, bottom: Points) -> None:
    accessories, tones = ctx.person.accessories, ctx.tones
    ink = blend(blend(tones.line, (36, 26, 28), 0.75), (24, 18, 22), accessories.lashes)
    count = len(top)
    width = ctx.to_pixels(0.030 + 0.032 * accessories.lashes) * np.interp(
        np.linspace(0, 1, count), (0, 0.35, 0.85, 1), (0.35, 0.9, 1.1, 0.5)
    )
    if ctx.scene.eye_open < 0.2:
        top = bottom
    ctx.canvas.fill(ribbon(top, width), ink)
    ctx.canvas.fill(tapered(bottom[3:], ctx.to_pixels(0.020), 0.1, 0.4), blend(ink, tones.line, 0.5), 0.6)
    if accessories.lashes > 0.05:
        corner = (top[-1] - top[0]) / max(1e-6, float(np.hypot(*(top[-1] - top[0]))))
        out = np.array((-corner[1], corner[0])) * (-side)
        out = out if out[1] < 0 else -out
        for where, lean in ((-1, 1.0), (-7, 0.72), (-13, 0.45)):
            start = top[where]
            length = ctx.to_pixels((0.045 + 0.05 * accessories.lashes) * (1 if where == -1 else 0.85))
            tip = start + (corner * lean + out * (0.75 + 0.2 * (1 - lean))) * length
            bend = (start + tip) / 2 + (corner * 0.18 - out * 0.10) * length
            flick = spline([start, bend, tip], 5)
            ctx.canvas.fill(ribbon(flick, np.linspace(ctx.to_pixels(0.028), 0, len(flick))), ink, 0.95)


def brow_color(ctx: DrawingContext) -> Color:
    """Returns the color of the eyebrows: darker than light hair, graying later than the hair."""
    hair = ctx.person.hair_color
    dark = blend(hair, (58, 42, 38), 0.45 if luminance(hair) > 0.3 else 0.15)
    return blend(dark, (176, 172, 170), 0.7 * max(0.0, ctx.person.aging.gray - 0.35))


def draw_brows(ctx: DrawingContext) -> None:
    """Draws both eyebrows."""
    face, scene = ctx.person.face, ctx.scene
    color = brow_color(ctx)
    height = -face.brow_height - scene.brow_lift
    thin = 1 - 0.25 * ctx.person.aging.sag
    for side in (-1, 1):
        inner, outer = face.eye_spacing - face.eye_size * 0.92, face.eye_spacing + face.eye_size * 1.12
        middle = [
            (inner, height + 0.012),
            (inner + 0.11, height - face.brow_arch * 0.45),
            (outer - 0.16, height - face.brow_arch * 0.85),
            (outer, height + 0.06 - face.eye_tilt * 0.2),
        ]
        path = ctx.face(spline(middle) * (side, 1))
        fraction = np.linspace(0, 1, len(path))
        width = ctx.to_pixels(face.brow_weight * thin) * np.interp(fraction, (0, 0.12, 0.55, 1), (0.55, 1.0, 0.9, 0.12))
        ctx.canvas.fill(ribbon(path, width), color, 0.86)


def draw_nose(ctx: DrawingContext) -> None:
    """Draws the nose: a shaded side, the wings, the nostrils and a highlight on the tip."""
    face, tones, scene = ctx.person.face, ctx.tones, ctx.scene
    wide, low = face.nose_width, face.nose_length
    dark = -1.0 if scene.light > 0 else 1.0
    flank = [
        (dark * 0.075, -0.06),
        (dark * 0.07, 0.2),
        (dark * 0.10, low - 0.2),
        (dark * (wide + 0.0), low - 0.05),
        (dark * 0.09, low - 0.02),
        (dark * 0.02, low - 0.25),
        (dark * 0.03, 0.1),
    ]
    ctx.canvas.shadow(ctx.face(spline(flank, closed=True)), tones.shade, 0.75, ctx.to_pixels(0.035))
    under = [
        (-wide * 0.9, low),
        (0, low + 0.055),
        (wide * 0.9, low),
        (wide * 0.6, low + 0.08),
        (-wide * 0.6, low + 0.08),
    ]
    ctx.canvas.shadow(ctx.face(spline(under, closed=True)), tones.shade, 0.85, ctx.to_pixels(0.03))
    for side in (-1, 1):
        hole = ctx.face(
            spline(
                [
                    (side * 0.055, low + 0.012),
                    (side * wide * 0.55, low - 0.018),
                    (side * wide * 0.72, low + 0.012),
                    (side * wide * 0.4, low + 0.03),
                ],
                5,
                closed=True,
            )
        )
        ctx.canvas.fill(hole, tones.line, 0.85)
        wing = spline(
            [
                (side * wide * 0.82, low - 0.155),
                (side * wide * 1.03, low - 0.075),
                (side * wide * 0.98, low),
                (side * wide * 0.70, low + 0.022),
            ]
        )
        ctx.canvas.fill(tapered(ctx.face(wing), ctx.to_pixels(0.028), 0.1, 0.3), tones.line, 0.70)
    x, y = ctx.to_pixel(-dark * 0.02, low - 0.13)
    tip = ellipse(x, y, ctx.to_pixels(0.075), ctx.to_pixels(0.06))
    ctx.canvas.shadow(tip, tones.light, 0.75, ctx.to_pixels(0.03))
    bridge = ribbon(ctx.face(spline([(-dark * 0.015, 0.06), (-dark * 0.02, low - 0.28)])), ctx.to_pixels(0.05))
    ctx.canvas.shadow(bridge, tones.light, 0.55, ctx.to_pixels(0.025))


def draw_mouth(ctx: DrawingContext) -> None:
    """Draws the lips, and teeth where the mouth is open."""
    face, scene, tones, accessories = ctx.person.face, ctx.scene, ctx.tones, ctx.person.accessories
    (left, level), (right, _) = mouth_corners(ctx)
    thin = 1 - 0.42 * ctx.person.aging.thin_lips
    up, low = face.lip_upper * thin, face.lip_lower * thin
    gap = 0.15 * scene.mouth_open * (0.5 + scene.smile * 0.6)
    middle = MOUTH_LEVEL + 0.035 * scene.smile
    seam = [
        (left, level),
        (left * 0.5, middle + 0.004),
        (0, middle + 0.012),
        (right * 0.5, middle + 0.004),
        (right, level),
    ]
    floor = [
        (left, level),
        (left * 0.55, middle + gap * 0.85),
        (0, middle + 0.012 + gap * 1.15),
        (right * 0.55, middle + gap * 0.85),
        (right, level),
    ]
    crown = [
        (left, level),
        (left * 0.55, middle - up * 0.72),
        (left * 0.2, middle - up * 1.1),
        (0, middle - up * 0.82),
        (right * 0.2, middle - up * 1.1),
        (right * 0.55, middle - up * 0.72),
        (right, level),
    ]
    base = [
        (left, level),
        (left * 0.6, middle + gap * 0.9 + low * 0.72),
        (0, middle + gap * 1.1 + low),
        (right * 0.6, middle + gap * 0.9 + low * 0.72),
        (right, level),
    ]
    color = blend(tones.lip, accessories.lip_color, 0.85 * accessories.lipstick)
    shadow = [
        (-0.16, middle + gap + low + 0.035),
        (0, middle + gap + low + 0.055),
        (0.16, middle + gap + low + 0.035),
        (0.12, middle + gap + low + 0.085),
        (-0.12, middle + gap + low + 0.085),
    ]
    ctx.canvas.shadow(ctx.face(spline(shadow, closed=True)), tones.shade, 0.8, ctx.to_pixels(0.03))
    seam_path, floor_path = ctx.face(spline(seam)), ctx.face(spline(floor))
    ctx.canvas.fill(np.concatenate([ctx.face(spline(crown)), seam_path[::-1]]), blend(color, tones.deep, 0.22))
    ctx.canvas.fill(np.concatenate([floor_path, ctx.face(spline(base))[::-1]]), color)
    if gap > 0.015:
        _draw_teeth(ctx, np.concatenate([seam_path, floor_path[::-1]]), seam_path)
    ctx.canvas.fill(tapered(seam_path, ctx.to_pixels(0.026), 0.5, 0.5), blend(tones.line, (70, 24, 28), 0.4), 0.9)
    x, y = ctx.to_pixel(0.06 * scene.light, middle + gap * 1.1 + low * 0.45)
    ctx.canvas.fill(
        ellipse(x, y, ctx.to_pixels(0.09), ctx.to_pixels(low * 0.16)),
        (255, 236, 230),
        0.28 + 0.2 * accessories.lipstick,
    )
    for corner in ((left, level), (right, level)):
        x, y = ctx.to_pixel(*corner)
        ctx.canvas.fill(ellipse(x, y, ctx.to_pixels(0.018), ctx.to_pixels(0.015), count=10), tones.line, 0.7)


def _draw_teeth(ctx: DrawingContext, opening: Points, seam: Points) -> None:
    with ctx.canvas.inside(opening) as mouth:
        mouth.fill(opening, (112, 42, 46))
        mouth.fill(ribbon(translated(seam, 0, ctx.to_pixels(0.03)), ctx.to_pixels(0.10)), (250, 246, 240))


def draw_glasses(ctx: DrawingContext) -> None:
    """Draws the glasses with their temples."""
    accessories, face = ctx.person.accessories, ctx.person.face
    if not accessories.glasses:
        return
    color, unit = accessories.glasses_color, ctx.to_pixels(1)
    rx, ry, power = {
        "round": (0.295, 0.275, 2.0),
        "square": (0.315, 0.235, 3.6),
        "browline": (0.31, 0.245, 3.0),
        "cat eye": (0.315, 0.235, 2.5),
    }[accessories.glasses]
    angle = np.linspace(0, 2 * np.pi, 41)
    rim = np.stack(
        [
            np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / power) * rx,
            np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / power) * ry,
        ],
        axis=1,
    )
    if accessories.glasses == "cat eye":
        rim[:, 1] -= 0.10 * np.clip(rim[:, 0] / rx, 0, 1) ** 2 * (rim[:, 1] < 0.08)
    for side in (-1, 1):
        path = ctx.face((translated(rim, face.eye_spacing + 0.01, 0.03)) * (side, 1), 0.93)
        ctx.canvas.fill(path[:-1], (236, 244, 250), 0.13)
        ctx.canvas.fill(ribbon(path, 0.034 * unit), color)
        if accessories.glasses == "browline":
            ctx.canvas.fill(ribbon(path[21:41], 0.065 * unit), color)
        highlight_color = np.array([(-0.16, 0.02), (-0.02, -0.16), (0.05, -0.16), (-0.14, 0.10)])
        highlight_color = translated(highlight_color, side * face.eye_spacing, 0.03)
        ctx.canvas.fill(ctx.face(highlight_color, 0.93), (255, 255, 255), 0.14)
        hinge = ctx.to_pixel(side * (face.eye_spacing + rx), -0.05, 0.90)
        ear = ctx.to_pixel(side * 1.0, -0.06, 0.0)
        ctx.canvas.fill(ribbon(np.array([hinge, ear]), 0.036 * unit), color)
    bridge = spline([(-(face.eye_spacing - rx) - 0.01, 0.0), (0, -0.055), ((face.eye_spacing - rx) + 0.01, 0.0)])
    ctx.canvas.fill(ribbon(ctx.face(bridge, 0.95), 0.034 * unit), color)
